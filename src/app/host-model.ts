// The machines of the host that serves this page: one bridge, what it lists, and the machine chosen. The panes show it and
// call it; what a verb brings is told to whoever called.

import { isVitrineError, type VitrineError } from '../base/error.ts';
import { type BridgeClient, connectBridge, type MachineInfo } from '../bridge/bridge-client.ts';
import type { LinkState } from '../bridge/bridge-link.ts';
import type { RemotePast } from '../bridge/remote-guest.ts';
import { sync } from '../bridge/sync.ts';
import type { SnapshotId, SnapshotInfo } from '../engine/snapshot.ts';
import type { TransferReport } from '../engine/transfer.ts';
import { askTicket, bridgeAddress } from './bridge-session.ts';
import { Job } from './job.ts';
import { Signal } from './signal.ts';
import type { Workspace } from './workspace.ts';

/** How often the lists are read again while the page is looked at: others work on the same host. */
const REFRESH_MS = 3000;

export class HostModel {
  readonly state = new Signal<LinkState>({ kind: 'connecting', attempt: 0 });
  readonly machines = new Signal<readonly MachineInfo[]>([]);
  /** Of the machine on show, oldest first. */
  readonly snapshots = new Signal<readonly SnapshotInfo[]>([]);
  /** The recent past of the machine on show, or why it is not known; null where the host keeps none. */
  readonly past = new Signal<RemotePast | VitrineError | null>(null);
  /** The name of the machine on show. */
  readonly current = new Signal<string | null>(null);
  /** The long work that this page waits for. */
  readonly job = new Signal<Job | null>(null);
  /** What was done to a machine, for whoever reads its console: what it says next is of another time. */
  readonly remarks = new Signal<{ readonly machine: string; readonly text: string } | null>(null);
  readonly #workspace: Workspace;
  #bridge: BridgeClient | null = null;

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
    this.current.watch(() => {
      if (this.state.value.kind === 'open') void this.refreshSnapshots().catch(() => {});
    });
    setInterval(() => {
      if (document.visibilityState === 'visible' && this.state.value.kind === 'open') {
        // The next look tells what this one could not.
        void this.refresh().catch(() => {});
      }
    }, REFRESH_MS);
  }

  /** Connects, or connects again after it was given up. Throws what connecting throws. */
  async connect(): Promise<void> {
    this.#bridge?.close();
    const bridge = await connectBridge(bridgeAddress(), { software: 'page', ticket: () => askTicket() });
    this.#bridge = bridge;
    this.state.set(bridge.state);
    bridge.onState((state) => {
      if (this.#bridge !== bridge) return;
      this.state.set(state);
      if (state.kind === 'open') void this.refresh().catch(() => {});
    });
    await this.refresh();
  }

  /** Throws `connection-lost` before the first connection. */
  get bridge(): BridgeClient {
    if (this.#bridge === null) throw new Error('the bridge is used after it was connected');
    return this.#bridge;
  }

  /** Whether the session may start machines of what it likes, and the host's profiles, of which machines of its own may be. */
  get offers(): { readonly any: boolean; readonly profiles: readonly string[] } {
    if (this.#bridge === null || this.state.value.kind !== 'open') return { any: false, profiles: [] };
    const { runs, permissions, profiles } = this.#bridge.host;
    return { any: runs && permissions.includes('admin'), profiles: runs ? profiles : [] };
  }

  get machine(): MachineInfo | null {
    return this.machines.value.find(({ name }) => name === this.current.value) ?? null;
  }

  /** Reads the lists again; signals change only where the lists did. */
  async refresh(): Promise<void> {
    const machines = await this.bridge.machines();
    if (!isSame(machines, this.machines.value)) this.machines.set(machines);
    const isThere = machines.some(({ name }) => name === this.current.value);
    if (!isThere) this.current.set(machines[0]?.name ?? null);
    await this.refreshSnapshots();
  }

  /** As `refresh`, of the snapshots and the past of the machine on show: a host may have thousands of others. */
  async refreshSnapshots(): Promise<void> {
    const machine = this.current.value;
    const [snapshots, past] =
      machine === null
        ? [[], null]
        : await Promise.all([this.bridge.log({ machine }), this.#pastOf(machine)]);
    if (machine !== this.current.value) return;
    if (!isSame(snapshots, this.snapshots.value)) this.snapshots.set(snapshots);
    if (!isSame(past, this.past.value)) this.past.set(past);
  }

  async #pastOf(machine: string): Promise<RemotePast | VitrineError | null> {
    try {
      return await this.bridge.machine(machine).rewindList();
    } catch (error) {
      if (isVitrineError(error, 'unsupported')) return null;
      // A book that cannot be read takes nothing else with it.
      if (isVitrineError(error) && !isVitrineError(error, 'connection-lost')) return error;
      throw error;
    }
  }

  /** Brings a snapshot into this browser's store: it can be looked into when the host is gone. */
  pull(snapshot: SnapshotId): Promise<TransferReport> {
    return this.run('Fetching', async (job) => {
      const report = await sync(this.bridge, this.#workspace.requireEngine(), snapshot, job.options);
      await this.#workspace.refresh();
      return report;
    });
  }

  remark(machine: string, text: string): void {
    this.remarks.set({ machine, text });
  }

  /** Long work: its progress is shown, and it can be given up. What was used for it has the keyboard again afterwards. */
  async run<T>(title: string, work: (job: Job) => Promise<T>): Promise<T> {
    const job = new Job(title);
    const used = document.activeElement;
    this.job.set(job);
    try {
      return await work(job);
    } finally {
      if (this.job.value === job) this.job.set(null);
      await this.refresh().catch(() => {});
      // A control that is greyed out meanwhile loses it.
      if (document.activeElement === document.body && used instanceof HTMLElement) used.focus();
    }
  }
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
