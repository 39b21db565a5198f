// What the page works on: one engine, the machines open under it, the snapshots in its store. The panes show it and call
// it; they keep nothing of their own that it would have to know. Verbs throw; whoever calls them shows the failure.

import { VitrineError } from '../base/error.ts';
import type { DiffReport } from '../engine/diff.ts';
import type { RestoreReport } from '../engine/restore.ts';
import type { SaveReport } from '../engine/save.ts';
import type { SnapshotId, SnapshotInfo } from '../engine/snapshot.ts';
import type { ReplayVerdict } from '../engine/verify-replay.ts';
import type { Effort } from '../format/frame-codecs.ts';
import { type EngineClient, type MachineClient, startEngine } from '../rpc/engine-client.ts';
import { type CatalogEntry, catalogEntryOf, forkNameOf } from './guests/catalog.ts';
import { Job } from './job.ts';
import { OpenMachine, startGuestOf } from './open-machine.ts';
import { Signal } from './signal.ts';
import { titleOf } from './snapshot-order.ts';

const STORE_NAME = 'vitrine';

export class Workspace {
  /** Null until it is open, and again when its worker was lost. */
  readonly engine = new Signal<EngineClient | null>(null);
  readonly engineLost = new Signal<VitrineError | null>(null);
  readonly machines = new Signal<readonly OpenMachine[]>([]);
  readonly current = new Signal<OpenMachine | null>(null);
  /** Oldest first. */
  readonly snapshots = new Signal<readonly SnapshotInfo[]>([]);
  /** The snapshot chosen in the list. */
  readonly chosen = new Signal<SnapshotInfo | null>(null);
  readonly #opening = new Map<string, Promise<OpenMachine>>();

  /**
   * Starts the engine, or starts it again; machines that are open join it. Throws what kept the first of them that could not, once all
   * others did.
   */
  async openEngine(): Promise<void> {
    const worker = new Worker(new URL('../../workers/engine.ts', import.meta.url), {
      type: 'module',
      name: 'engine',
    });
    const engine = await startEngine(worker, { kind: 'idb', name: STORE_NAME });
    this.engineLost.set(null);
    this.engine.set(engine);
    void engine.lost.then((reason) => {
      if (this.engine.value !== engine) return;
      for (const machine of this.machines.value) machine.leave();
      this.engine.set(null);
      this.engineLost.set(reason);
    });
    const open = this.machines.value.filter(({ lost }) => lost.value === null);
    const joining = await Promise.allSettled(open.map((machine) => machine.join(engine)));
    await this.refresh();
    for (const joined of joining) if (joined.status === 'rejected') throw joined.reason;
  }

  /** Opens a guest as the machine of that name, or shows it when it is open. */
  async open(name: string): Promise<OpenMachine> {
    const open = this.find(name);
    if (open !== undefined && open.lost.value === null) {
      this.current.set(open);
      return open;
    }
    const opening = this.#opening.get(name);
    if (opening !== undefined) return opening;
    const entry = catalogEntryOf(name);
    if (entry === undefined) throw new VitrineError('not-found', { machine: name });
    const made = this.#open(name, entry).finally(() => this.#opening.delete(name));
    this.#opening.set(name, made);
    return made;
  }

  find(name: string): OpenMachine | undefined {
    return this.machines.value.find((machine) => machine.name === name);
  }

  /** Ends a machine's guest. Its snapshots stay. */
  async close(machine: OpenMachine): Promise<void> {
    const rest = this.machines.value.filter((one) => one !== machine);
    this.machines.set(rest);
    if (this.current.value === machine) this.current.set(rest.at(-1) ?? null);
    await machine.close();
  }

  /** Saves a machine; with `live` it runs on meanwhile, where it can: the report says. */
  save(
    machine: OpenMachine,
    label: string,
    effort: Effort,
    { live = false }: { readonly live?: boolean } = {},
  ): Promise<SaveReport> {
    return this.#work(machine, 'Saving', async (client, job) => {
      const report = await client.save({ label, effort, ...(live ? { live: {} } : {}), ...job.options });
      machine.settleAt(report.snapshot.id);
      await this.refresh();
      this.chosen.set(this.snapshots.value.find(({ id }) => id === report.snapshot.id) ?? null);
      return report;
    });
  }

  restore(machine: OpenMachine, snapshot: SnapshotId): Promise<RestoreReport> {
    return this.#work(machine, 'Restoring', async (client, job) => {
      const report = await client.restore(snapshot, job.options);
      machine.settleAt(snapshot);
      const info = this.snapshots.value.find(({ id }) => id === snapshot);
      machine.remark(`at “${info === undefined ? snapshot : titleOf(info)}”`);
      return report;
    });
  }

  /** Runs a snapshot on twice, in a guest of its kind that does the same again and is gone afterwards. */
  async verifyByReplay(snapshot: SnapshotInfo): Promise<ReplayVerdict> {
    const engine = this.requireEngine();
    const entry = catalogEntryOf(snapshot.machine);
    if (entry?.canReplay !== true) throw new VitrineError('unsupported', { missing: 'replay' });
    const guest = await startGuestOf(entry, `replay of ${snapshot.machine}`, { deterministic: true });
    try {
      return await engine.verifyByReplay(snapshot.id, guest);
    } finally {
      await guest.close();
    }
  }

  /** Opens a second guest that goes on from a snapshot. On failure it is closed again. */
  fork(snapshot: SnapshotInfo): Promise<OpenMachine> {
    return this.#openAt(forkNameOf(snapshot.machine, this.#takenNames()), snapshot);
  }

  /** Opens a machine at a snapshot that can be gone back and forth over from there. As `fork`. */
  async openSteps(snapshot: SnapshotInfo): Promise<OpenMachine> {
    const name = catalogEntryOf(snapshot.machine)?.steps;
    if (name === undefined) throw new VitrineError('unsupported', { missing: 'steps' });
    const taken = this.#takenNames();
    return this.#openAt(taken.has(name) ? forkNameOf(name, taken) : name, snapshot);
  }

  #takenNames(): Set<string> {
    const taken = new Set([...this.machines.value, ...this.#opening.keys()].map(nameOf));
    for (const { machine } of this.snapshots.value) taken.add(machine);
    return taken;
  }

  async #openAt(name: string, snapshot: SnapshotInfo): Promise<OpenMachine> {
    const machine = await this.open(name);
    try {
      await this.restore(machine, snapshot.id);
      return machine;
    } catch (error) {
      await this.close(machine);
      throw error;
    }
  }

  /** What differs between two snapshots, or between a snapshot and a machine as it is now. */
  diff(from: SnapshotId, to: SnapshotId | OpenMachine): Promise<DiffReport> {
    if (typeof to === 'string') return this.requireEngine().diff(from, to);
    return this.#work(to, 'Comparing', (client) => client.diff(from));
  }

  /** Deletes a snapshot and gives its room back. */
  async delete(snapshot: SnapshotId): Promise<void> {
    const engine = this.requireEngine();
    await engine.delete([snapshot]);
    if (this.chosen.value?.id === snapshot) this.chosen.set(null);
    await this.refresh();
    await engine.collect();
  }

  /** Reads the list of snapshots again. */
  async refresh(): Promise<void> {
    const engine = this.requireEngine();
    this.snapshots.set(await engine.log());
    for (const machine of this.machines.value) {
      if (machine.lost.value !== null) continue;
      const joined = await machine.joined.catch(() => null);
      if (joined === null) continue;
      const base = await joined.base();
      machine.base.set(this.snapshots.value.some(({ id }) => id === base) ? base : null);
    }
  }

  /** Machines of the store that are not open, with the snapshot each was at last. */
  async heads(): Promise<{ readonly machine: string; readonly snapshot: SnapshotInfo }[]> {
    const engine = this.requireEngine();
    const names = new Set(this.snapshots.value.map(({ machine }) => machine));
    for (const { name } of this.machines.value) names.add(name);
    const found: { machine: string; snapshot: SnapshotInfo }[] = [];
    for (const machine of [...names].sort()) {
      const head = catalogEntryOf(machine) === undefined ? null : await engine.head(machine);
      const snapshot = this.snapshots.value.find(({ id }) => id === head);
      if (snapshot !== undefined) found.push({ machine, snapshot });
    }
    return found;
  }

  /** Throws `wrong-state` while there is no engine. */
  requireEngine(): EngineClient {
    if (this.engine.value === null) {
      throw new VitrineError('wrong-state', { actual: 'no engine', required: 'an open engine' });
    }
    return this.engine.value;
  }

  async #open(name: string, entry: CatalogEntry): Promise<OpenMachine> {
    const machine = await OpenMachine.open(name, entry);
    if (this.engine.value !== null) await machine.join(this.engine.value);
    // A machine of that name whose worker was lost gives its place up. Others may have been opened or closed while this one joined.
    const others = this.machines.value.filter((one) => one.name !== name);
    this.machines.set([...others, machine]);
    this.current.set(machine);
    return machine;
  }

  async #work<T>(
    machine: OpenMachine,
    title: string,
    work: (client: MachineClient, job: Job) => Promise<T>,
  ): Promise<T> {
    if (machine.job.value !== null) {
      throw new VitrineError('busy', { machine: machine.name, underWay: machine.job.value.title });
    }
    const job = new Job(title);
    machine.job.set(job);
    try {
      this.requireEngine();
      return await work(await machine.joined, job);
    } finally {
      machine.job.set(null);
    }
  }
}

function nameOf(machine: OpenMachine | string): string {
  return typeof machine === 'string' ? machine : machine.name;
}
