// The machines and the store of this host, as sessions see them. What starts a machine is handed in: without it the store
// alone is served.

import { VitrineError } from '../../base/error.ts';
import type { WorkOptions } from '../../base/work.ts';
import { BellBook } from '../../bridge/bell-book.ts';
import type {
  AttachRequest,
  BridgeHost,
  DisksReport,
  HostMachine,
  RunRequest,
  Spool,
} from '../../bridge/host.ts';
import { Jobs } from '../../bridge/jobs.ts';
import type { SnapshotLayer } from '../../bridge/recorded-layers.ts';
import { Recordings } from '../../bridge/recordings.ts';
import { loadCodecs } from '../../codec/load.ts';
import type { PeekRange } from '../../engine/peek.ts';
import type { SnapshotId } from '../../engine/snapshot.ts';
import { openEngine, type Vitrine } from '../../engine/vitrine.ts';
import { loadKernels } from '../../kernel/load.ts';
import type { Store } from '../../store/store.ts';
import { ThreadEncoder } from '../pages/thread-encoder.ts';
import type { ServedBellRing } from '../qemu/bell-service.ts';
import type { LeftMachine } from '../qemu/left-machines.ts';
import { translateInSnapshot } from '../qemu/snapshot-addresses.ts';
import { openFileSpool } from './file-spool.ts';

/** A machine that this host started or adopted. */
export interface LaunchedMachine extends HostMachine {
  /** Lets go of it: what this host started ends, what others started runs on. */
  close(): Promise<void>;
  /** As `close`; what this host started goes on as well, where it can, for the next host to find. */
  leave?(): Promise<void>;
}

export interface SpareCounts {
  readonly count: number;
  readonly usedBytes: number;
}

/** What starts machines: QEMU's side of the host. */
export interface Launcher {
  /** As `BridgeHost.profiles`. */
  readonly profiles?: readonly string[];
  /** Machines of others that an earlier host was killed beside, and what became of them: after `known`. */
  readonly left?: readonly LeftMachine[];
  /** Machines of earlier days: those that run on are taken over, the others are known by their names. */
  known(engine: Vitrine): Promise<LaunchedMachine[]>;
  /** As if it had been switched on. */
  run(request: RunRequest, engine: Vitrine): Promise<LaunchedMachine>;
  /** From a snapshot, in the shape of the machine that it is of. */
  fork(snapshot: SnapshotId, name: string, engine: Vitrine, options: WorkOptions): Promise<LaunchedMachine>;
  attach?(request: AttachRequest, engine: Vitrine): Promise<LaunchedMachine>;
  /** Gives room of disks back; `machines` are those that it started and took over. */
  collectDisks?(engine: Vitrine, machines: readonly LaunchedMachine[]): Promise<DisksReport>;
  /** Files of disks that a snapshot stands on. */
  layersOf?(engine: Vitrine, snapshot: SnapshotId): Promise<readonly SnapshotLayer[]>;
  /** Processes that wait for machines, as an operator counts them. */
  readonly spares?: SpareCounts;
  /** Ends what it started that is no machine. */
  close?(): Promise<void>;
  /** Hears what guests asked for by their doorbells. */
  onRing?: ((machine: string, ring: ServedBellRing) => void) | undefined;
}

export interface LocalHostOptions {
  readonly store: Store;
  readonly version: string;
  readonly launcher?: Launcher | undefined;
  /** Where no launcher is: asked before anything is collected, and what gives room of disks back then. */
  readonly mayCollect?: () => Promise<void>;
  readonly collectDisks?: (engine: Vitrine) => Promise<DisksReport>;
  /** Where long peeks wait for their readers. */
  readonly spoolFolder?: string;
}

/** Opens an engine over the store. Throws what it throws; the store is the caller's to close then. */
export async function openLocalHost(options: LocalHostOptions): Promise<LocalHost> {
  const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
  const engine = await openEngine({ store: options.store, kernels, codecs, encoder: new ThreadEncoder() });
  const known = (await options.launcher?.known(engine)) ?? [];
  const host = new LocalHost(engine, options, known);
  await host.recordings.goOn(known.map(({ name }) => name));
  return host;
}

export class LocalHost implements BridgeHost {
  readonly software: BridgeHost['software'];
  readonly engine: Vitrine;
  readonly store: Store;
  readonly jobs = new Jobs();
  readonly bells: BellBook;
  readonly recordings: Recordings;
  readonly profiles: readonly string[];
  readonly run?: (request: RunRequest, options: WorkOptions) => Promise<HostMachine>;
  readonly attach?: (request: AttachRequest, options: WorkOptions) => Promise<HostMachine>;
  readonly fork?: (snapshot: SnapshotId, name: string, options: WorkOptions) => Promise<HostMachine>;
  readonly openSpool?: () => Promise<Spool>;
  readonly mayCollect?: () => Promise<void>;
  readonly collectDisks?: () => Promise<DisksReport>;
  readonly #launcher: Launcher | undefined;
  readonly #machines = new Map<string, LaunchedMachine>();
  /** Names whose machine is being started. */
  readonly #starting = new Set<string>();

  /** Not to be called by others: `openLocalHost` is. */
  constructor(
    engine: Vitrine,
    { store, version, launcher, mayCollect, collectDisks, spoolFolder }: LocalHostOptions,
    known: readonly LaunchedMachine[],
  ) {
    for (const machine of known) this.#machines.set(machine.name, machine);
    this.engine = engine;
    this.#launcher = launcher;
    // Nobody waits for a count when the process ends.
    this.bells = new BellBook({ after: (ms, task) => void setTimeout(task, ms).unref() });
    this.profiles = launcher?.profiles ?? [];
    this.store = store;
    this.software = { name: 'vitrine', version };
    if (spoolFolder !== undefined) this.openSpool = () => openFileSpool(spoolFolder);
    const layersOf = launcher?.layersOf?.bind(launcher);
    this.recordings = new Recordings({
      ...{ engine, store, machine: (name: string) => this.#machines.get(name) },
      collectDisks: async () => this.collectDisks?.(),
      ...(layersOf === undefined ? {} : { layersOf: (snapshot: SnapshotId) => layersOf(engine, snapshot) }),
    });
    if (launcher === undefined) {
      if (mayCollect !== undefined) this.mayCollect = mayCollect;
      if (collectDisks !== undefined) this.collectDisks = () => collectDisks(engine);
      return;
    }
    this.run = (request) => this.#start(request.name, () => launcher.run(request, engine));
    this.fork = (snapshot, name, work) =>
      this.#start(name, () => launcher.fork(snapshot, name, engine, work));
    const collect = launcher.collectDisks?.bind(launcher);
    if (collect !== undefined) this.collectDisks = () => collect(engine, [...this.#machines.values()]);
    const adopt = launcher.attach?.bind(launcher);
    if (adopt !== undefined)
      this.attach = (request) => this.#start(request.name, () => adopt(request, engine));
  }

  machines(): readonly HostMachine[] {
    return [...this.#machines.values()];
  }

  machine(name: string): HostMachine | undefined {
    return this.#machines.get(name);
  }

  translate(snapshot: SnapshotId, address: bigint, lengthBytes: number): Promise<readonly PeekRange[]> {
    return translateInSnapshot(this.engine, snapshot, address, lengthBytes);
  }

  /** Ends jobs, then machines, but for those that are kept. May be called again. */
  async close({ keepMachines = false } = {}): Promise<void> {
    await this.recordings.close();
    await this.jobs.close();
    const machines = [...this.#machines.values()];
    this.#machines.clear();
    await Promise.all(
      machines.map((machine) => (keepMachines && machine.leave ? machine.leave() : machine.close())),
    );
    await this.#launcher?.close?.();
    await this.engine.close();
  }

  /** One machine a name; what is left of one that ended goes first. */
  async #start(name: string, start: () => Promise<LaunchedMachine>): Promise<HostMachine> {
    const before = this.#machines.get(name);
    const isThere = before !== undefined && before.state !== 'stopped' && before.state !== 'lost';
    if (isThere || this.#starting.has(name)) throw new VitrineError('busy', { machine: name });
    this.#starting.add(name);
    try {
      await before?.close();
      const machine = await start();
      this.#machines.set(name, machine);
      return machine;
    } finally {
      this.#starting.delete(name);
    }
  }
}
