// A QEMU machine as sessions see it: known by its name and its profile, whether it runs or not. What it was made of is kept,
// so that it can be started again and brought to a snapshot after it ended.

import type { OwnedBytes } from '../../base/bytes.ts';
import { SYSTEM_CLOCK } from '../../base/clock.ts';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import { LIMITS } from '../../base/limits.ts';
import type { WorkOptions } from '../../base/work.ts';
import type {
  HostMachine,
  MachineConsole,
  MachineFacts,
  MachineScreen,
  MachineState,
  ProcessorRegisters,
} from '../../bridge/host.ts';
import type { Machine } from '../../engine/machine.ts';
import type { PeekRange } from '../../engine/peek.ts';
import type { RestoreReport } from '../../engine/restore.ts';
import type { SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { type ServedBellRing, serveBell } from '../qemu/bell-service.ts';
import { endKeptMachine, type KeptMachine } from '../qemu/kept-machine.ts';
import type { LazyHelp, LazyMachine, LazyMachineOptions } from '../qemu/lazy-machine.ts';
import { openLazyMachine } from '../qemu/lazy-machine.ts';
import { resolveProfile } from '../qemu/profile.ts';
import { openQemuMachine, type QemuMachine, type QemuMachineOptions } from '../qemu/qemu-machine.ts';
import type { QuickenReport } from '../qemu/quicken.ts';
import type { SerialLine } from '../qemu/serial-line.ts';
import { besideOrAfter } from './beside.ts';
import type { ClonePools } from './clone-pools.ts';
import { ConsoleOutput } from './console-output.ts';
import { becauseOf, bellFacts, liveFacts, recipeFacts, spareFacts, statusFacts } from './machine-facts.ts';
import { namedRegisters } from './named-registers.ts';
import { pokeGuest } from './poke-guest.ts';
import type { MachineRecipe } from './qemu-arguments.ts';
import { connectScreen } from './screen-socket.ts';

export class QemuHostMachine implements HostMachine {
  readonly name: string;
  readonly recipe: MachineRecipe;
  readonly console: MachineConsole;
  readonly screen?: MachineScreen;
  readonly #engine: Vitrine;
  readonly #diskFolder: string;
  readonly #home: string | undefined;
  readonly #runRoot: string | undefined;
  /** It runs without us: why, and which process it is. */
  #stray: KeptMachine | null = null;
  #wasFound = false;
  /** It was found on an image that it shares with others. */
  #foundSharing = false;
  #qemu: QemuMachine | null = null;
  /** Ends its share of an image, where it stands on one. */
  #closeShared: (() => Promise<void>) | null = null;
  /** It runs, and its RAM is still on its way. */
  #lazy: LazyMachine | null = null;
  #state: MachineState = 'stopped';
  /** Why it does not run. */
  #ended: string;
  readonly #lazily: LazyHelp;
  readonly #onRing: ((ring: ServedBellRing) => void) | undefined;
  readonly #output = new ConsoleOutput();

  constructor(options: {
    readonly name: string;
    readonly recipe: MachineRecipe;
    readonly engine: Vitrine;
    /** Where layers of its disks are kept. */
    readonly diskFolder: string;
    /** Whom it is kept for when this process ends; it ends with it when left out. */
    readonly home?: string | undefined;
    readonly runRoot?: string | undefined;
    /** What lazy restores have beside: processes that wait, orders of touches. */
    readonly lazily?: LazyHelp | undefined;
    /** Why it does not run, where it did. */
    readonly ended?: string | undefined;
    /** Hears what its guest asked for. */
    readonly onRing?: ((ring: ServedBellRing) => void) | undefined;
  }) {
    this.#onRing = options.onRing;
    this.#lazily = options.lazily ?? {};
    this.name = options.name;
    this.recipe = options.recipe;
    this.#engine = options.engine;
    this.#diskFolder = options.diskFolder;
    this.#home = options.home;
    this.#runRoot = options.runRoot;
    this.#ended = options.ended ?? 'it was not started since the bridge was';
    this.console = {
      write: async (bytes) => this.#serial().write(bytes),
      listen: (onBytes) => this.#output.listen(onBytes, (this.#lazy ?? this.#qemu)?.serial.recent),
    };
    if (options.recipe.profile.vnc === true) {
      this.screen = { open: async () => connectScreen(this.#running().process.files.vnc) };
    }
  }

  get state(): MachineState {
    return this.#state;
  }

  get machine(): Machine | null {
    return this.#qemu?.machine ?? null;
  }

  async facts(): Promise<MachineFacts> {
    const spare = await spareFacts(this.#lazily.spares, this.recipe.profile, this.#options());
    return { ...(await this.#ownFacts()), ...spare };
  }

  async #ownFacts(): Promise<MachineFacts> {
    const known = recipeFacts(this.recipe);
    if (this.#lazy !== null) {
      const { pid, sentCount, askedCount } = this.#lazy;
      return { ...known, pid, pagesThere: sentCount, pagesAskedFor: askedCount };
    }
    if (this.#stray !== null) return { ...known, ended: this.#ended, pid: this.#stray.qemu.pid };
    if (this.#qemu === null) return { ...known, ended: this.#ended };
    return {
      ...(this.#wasFound ? { found: 'it went on without its bridge, and this one took it over' } : {}),
      ...(this.#qemu.guest.isTorn
        ? { needsRestore: 'its bridge was killed in the middle of a restore' }
        : {}),
      sharesRam: this.#closeShared !== null || this.#foundSharing,
      ...becauseOf(this.recipe),
      ...bellFacts(this.recipe, this.#qemu.guest),
      ...statusFacts(await this.#qemu.status()),
      ...liveFacts(this.#qemu.process),
    };
  }

  /**
   * Starts it, from a snapshot or as if it had been switched on. Throws what QEMU and restores throw; nothing runs then.
   */
  async start(snapshot?: SnapshotId, options: WorkOptions = {}): Promise<RestoreReport | undefined> {
    if (this.#qemu !== null || this.#lazy !== null) throw new VitrineError('busy', { machine: this.name });
    if (snapshot === undefined) this.#output.forget();
    const qemu = await openQemuMachine(this.name, this.recipe.profile, this.#engine, this.#options());
    return this.#run(qemu, snapshot, options);
  }

  /** Has a machine of this name that runs, or rests, as it was found. */
  async takeOver(qemu: QemuMachine, { ram }: KeptMachine['kept']): Promise<void> {
    this.#wasFound = true;
    this.#foundSharing = ram === 'private';
    this.#follow(qemu);
    this.#serveBell(qemu);
    this.#state = (await qemu.guest.isRunning()) ? 'running' : 'paused';
  }

  /** It runs on and could not be taken over: it is there to be told of, and to be stopped. */
  giveUpOn(stray: KeptMachine, because: VitrineError): void {
    this.#stray = stray;
    this.#state = 'lost';
    this.#ended = `it runs on, and could not be taken over: ${because.message}`;
  }

  /** As `start` from a snapshot; it shares the snapshot's RAM with other forks until it writes, where that can be. */
  async startShared(snapshot: SnapshotId, pools: ClonePools, options: WorkOptions = {}): Promise<void> {
    const { profile } = this.recipe;
    try {
      const shared = await pools.clone(this.name, profile, this.#engine, snapshot, this.#options());
      this.#closeShared = shared.close;
      await this.#run(shared.machine, undefined, options);
    } catch (error) {
      if (!isVitrineError(error, 'unsupported')) throw error;
      await this.start(snapshot, options);
    }
  }

  async #run(
    qemu: QemuMachine,
    snapshot: SnapshotId | undefined,
    options: WorkOptions,
  ): Promise<RestoreReport | undefined> {
    this.#wasFound = this.#foundSharing = false;
    this.#follow(qemu);
    try {
      const report = snapshot === undefined ? undefined : await qemu.machine.restore(snapshot, options);
      this.#serveBell(qemu);
      await qemu.start();
      this.#state = 'running';
      return report;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  #follow(qemu: QemuMachine): void {
    this.#qemu = qemu;
    qemu.serial.onOutput((bytes) => this.#output.tell(bytes));
    void qemu.lost.then((reason) => this.#lose(qemu, reason));
  }

  async shortenDisks(): Promise<void> {
    await this.#qemu?.shortenDisks();
  }

  async pause(): Promise<void> {
    await this.#running().stop();
    this.#state = 'paused';
  }

  async resume(): Promise<void> {
    await this.#running().start();
    this.#state = 'running';
  }

  quicken(): Promise<QuickenReport> {
    return this.#running().quicken();
  }

  async stop(): Promise<void> {
    const [stray, running] = [this.#stray, this.#qemu ?? this.#lazy];
    if (stray !== null) await endKeptMachine(stray);
    if (stray === null && running === null) return;
    this.#stray = this.#qemu = this.#lazy = null;
    this.#state = 'stopped';
    this.#ended = 'it was stopped';
    await running?.close();
    await this.#leaveShared();
  }

  /** By the page tables of its first processor. */
  async translate(address: bigint, lengthBytes: number): Promise<readonly PeekRange[]> {
    return this.#running().translate(address, lengthBytes);
  }

  async registers(): Promise<readonly ProcessorRegisters[]> {
    return this.#running().inspect(async ({ registers }) => registers.map(namedRegisters));
  }

  async poke(range: PeekRange, bytes: OwnedBytes): Promise<void> {
    await pokeGuest(this.#running().guest, range, bytes);
  }

  /** Into a new process: beside the one that runs, which goes on until that one can, or after it where two cannot be (`beside.ts`). */
  async restore(snapshot: SnapshotId, mode: 'fresh' | 'lazy', options: WorkOptions): Promise<RestoreReport> {
    const { profile } = this.recipe;
    const directory = this.#lazy?.directory ?? this.#qemu?.process.files.directory;
    const there = { engine: this.#engine, guest: this.#qemu?.guest, options: this.#lazyOptions() };
    return besideOrAfter({ ...there, directory, snapshot, mode, profile }, async (isBeside) => {
      if (!isBeside) await this.#end(this.#qemu);
      const before = this.#qemu;
      try {
        if (mode === 'lazy') return await this.#startLazily(snapshot, before);
        if (before !== null) return await this.#replace(before, snapshot, options);
        // Safe: with a snapshot there is a report.
        return (await this.start(snapshot, options))!;
      } catch (error) {
        if (before === null) this.#ended = `a restore failed: ${wordsOf(error)}`;
        throw error;
      }
    });
  }

  async #replace(before: QemuMachine, snapshot: SnapshotId, options: WorkOptions): Promise<RestoreReport> {
    const inPlaceOf = { ...this.#options(), inPlaceOf: before };
    const next = await openQemuMachine(this.name, this.recipe.profile, this.#engine, inPlaceOf);
    try {
      const report = await next.machine.restore(snapshot, options);
      const endMs = SYSTEM_CLOCK.nowMs();
      await this.#end(before);
      await this.#run(next, undefined, options);
      // The new one was at rest meanwhile, and the one before was not.
      return { ...report, pauseMs: SYSTEM_CLOCK.nowMs() - endMs };
    } catch (error) {
      await next.close();
      throw error;
    }
  }

  /** Ends a machine whose place another one takes. Throws `wrong-state` when somebody stopped it meanwhile: none is wanted then. */
  async #end(before: QemuMachine | null): Promise<void> {
    if (this.#qemu !== before && this.#state !== 'lost')
      throw new VitrineError('wrong-state', { machine: this.name, actual: this.#state, required: 'running' });
    if (before !== null) this.#output.goOnAfter(before.serial.recent);
    await this.stop();
  }

  /** Ends its process; its snapshots stay. One that runs without us runs on. */
  async close(): Promise<void> {
    if (this.#stray === null) await this.stop();
    this.#output.close();
  }

  /** Its process goes on, or rests, as it does, for the next one that is of its home. One whose RAM is on its way ends. */
  async leave(): Promise<void> {
    const qemu = this.#qemu;
    if (qemu === null || this.#home === undefined) return this.close();
    this.#qemu = null;
    this.#state = 'stopped';
    this.#ended = 'it was left, and runs on';
    await qemu.leave();
    // Its RAM stays with its process when the image of it is removed.
    await this.#leaveShared();
    this.#output.close();
  }

  /** It runs when this resolves; until its RAM is there it has no `machine`, and what needs one throws `wrong-state`. */
  async #startLazily(snapshot: SnapshotId, before: QemuMachine | null): Promise<RestoreReport> {
    const startMs = SYSTEM_CLOCK.nowMs();
    const { profile } = this.recipe;
    const lazy = await openLazyMachine(this.name, profile, this.#engine, snapshot, this.#lazyOptions());
    try {
      await this.#end(before);
      this.#lazy = lazy;
      lazy.serial.onOutput((bytes) => this.#output.tell(bytes));
      await lazy.start();
    } catch (error) {
      if (this.#lazy === lazy) await this.stop();
      await lazy.close();
      throw error;
    }
    this.#state = 'running';
    lazy.whole.then(
      ({ machine }) => this.#becomeWhole(lazy, machine),
      (reason: unknown) => this.#loseLazy(lazy, reason),
    );
    const pagesPlanned = resolveProfile(profile).memoryBytes / LIMITS.defaultPageBytes;
    return {
      pauseMs: 0,
      totalMs: SYSTEM_CLOCK.nowMs() - startMs,
      pagesPlanned,
      pagesWritten: lazy.sentCount,
    };
  }

  #becomeWhole(lazy: LazyMachine, qemu: QemuMachine): void {
    // Stopped meanwhile: `close` of the lazy one has ended its process.
    if (this.#lazy !== lazy) return;
    this.#lazy = null;
    this.#qemu = qemu;
    this.#serveBell(qemu);
    void qemu.lost.then((reason) => this.#lose(qemu, reason));
  }

  #serveBell({ machine, guest }: QemuMachine): void {
    const { doorbell: allow = [] } = this.recipe;
    if (guest.doorbell === undefined || allow.length === 0) return;
    serveBell(machine, guest.doorbell, { allow, onServed: this.#onRing });
  }

  #loseLazy(lazy: LazyMachine, reason: unknown): void {
    if (this.#lazy !== lazy) return;
    this.#lazy = null;
    this.#state = 'lost';
    this.#ended = wordsOf(reason);
  }

  #options(): Pick<QemuMachineOptions, 'disks' | 'keptFor' | 'root'> {
    const { disks: files } = this.recipe;
    return {
      ...(this.#home === undefined ? {} : { keptFor: this.#home }),
      ...(this.#runRoot === undefined ? {} : { root: this.#runRoot }),
      ...(files.length === 0 ? {} : { disks: { folder: this.#diskFolder, files } }),
    };
  }

  #lazyOptions(): LazyMachineOptions {
    return { ...this.#options(), ...this.#lazily };
  }

  #running(): QemuMachine {
    if (this.#qemu === null || this.#state === 'lost') {
      const actual = this.#lazy === null ? this.#state : 'its memory is on its way';
      throw new VitrineError('wrong-state', { machine: this.name, actual, required: 'running' });
    }
    return this.#qemu;
  }

  #serial(): SerialLine {
    return (this.#lazy ?? this.#running()).serial;
  }

  #lose(qemu: QemuMachine, reason: VitrineError): void {
    if (this.#qemu !== qemu) return;
    this.#state = 'lost';
    this.#ended = reason.message;
    this.#qemu = null;
    // What is left of it; that it ended is known already.
    qemu
      .close()
      .catch(() => {})
      .then(() => this.#leaveShared())
      .catch(() => {});
  }

  async #leaveShared(): Promise<void> {
    const close = this.#closeShared;
    this.#closeShared = null;
    await close?.();
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
