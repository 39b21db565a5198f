// A QEMU machine as a guest. RAM is its file, read and written in place; everything else is device records.
//
//   pause, resume   `stop` and `cont`: QEMU ends what its disks and cards are doing before it answers
//   regions         RAM below the hole and, where there is some, from 4 GiB on
//   records         a device section each, and a memory block each that is not RAM: ROMs, video memory
//
// ROMs stay as they are in a process and come from the same files in the next one, so they are looked at once per process,
// by the way that takes longer; blocks that a guest writes (video memory) are part of every save, and then that way is
// taken each time. The ACPI tables are between the two: QEMU builds them when firmware asks. They are looked at again when
// their owner's state has changed, and after a reset.

import { VitrineError } from '../../base/error.ts';
import type {
  DeviceRecord,
  DirtyTake,
  Guest,
  GuestTraits,
  MachineDescription,
  PageTold,
  PauseNeeds,
  StreamedInstant,
} from '../../guest/guest.ts';
import { PauseGuard } from '../../guest/pause-guard.ts';
import type { PageSet } from '../../memory/page-set.ts';
import type { Region } from '../../memory/region.ts';
import { regionOf, type Span } from '../../memory/span.ts';
import type { QemuBell } from './bell.ts';
import { decodeBellRecord, isBellRecord, NOBODY_WAITS } from './bell-line.ts';
import { comeToRest } from './come-to-rest.ts';
import { DeviceState, type SavePath } from './device-state.ts';
import { isDiskRecord } from './disk-record.ts';
import type { Disks } from './disks.ts';
import { type GuestAtRest, type QemuGuestOptions, type QemuHost, UNPROVEN } from './guest-options.ts';
import type { LiveVerdict } from './live-proof.ts';
import { openRam } from './open-ram.ts';
import { originOf } from './origin-of.ts';
import { type RamRange, ramRangesIn, regionsOf } from './physmap.ts';
import type { Ram } from './process-ram.ts';
import { RAM_BLOCK } from './profile.ts';
import type { RunState } from './qmp-commands.ts';
import { openRamMarks, type RamMarks } from './ram-marks.ts';
import type { RunIntent } from './run-intent.ts';
import { IGNORE_SHARED, StateTransfer } from './state-transfer.ts';
import { streamMachine } from './stream-machine.ts';
import { WholeRam } from './whole-ram.ts';
import { Wholeness } from './wholeness.ts';

/** A machine in one of these states goes on only after a reset. */
const ENDED_STATES: readonly RunState[] = ['shutdown', 'internal-error', 'guest-panicked'];

/**
 * The guest of a process that was just started and is the guest's from now on: `close` ends it.
 *
 * Throws `unsupported` when the machine has memory that would not be saved, or a device that cannot be; `guest-failed`,
 * `guest-lost`.
 */
export async function openQemuGuest(process: QemuHost, options: QemuGuestOptions = {}): Promise<QemuGuest> {
  const { qmp, profile, files } = process;
  await qmp.execute('migrate-set-capabilities', {
    capabilities: [{ capability: IGNORE_SHARED, state: true }],
  });
  for (const { id, share } of await qmp.execute('query-memdev')) {
    // Shared memory is left out of device state; what is not ours would be lost without a word.
    if (id !== RAM_BLOCK && share === true) {
      throw new VitrineError('unsupported', { missing: 'memory in one file', memory: id ?? 'unnamed' });
    }
  }
  const view = await qmp.execute('human-monitor-command', { 'command-line': 'info mtree -f' });
  const ranges = ramRangesIn(view, profile.memoryBytes);
  const withRam = options.ram === 'private' || options.ram === 'monitor';
  const transfer = new StateTransfer(qmp, files.directory, { withRam });
  const wholeRam =
    options.ram === 'monitor' ? new WholeRam(transfer, files.directory, profile.memoryBytes) : undefined;
  const ram = wholeRam ?? (await openRam(process, options));
  try {
    const devices = await DeviceState.open(profile.machine, transfer, process, { ...options, wholeRam });
    const known = { ranges, devices: Object.keys(devices.config), proof: options.marksProof };
    const marks = await openRamMarks(process, ram, known);
    return new QemuGuest(process, { ram, marks }, ranges, devices, options);
  } catch (error) {
    ram.close();
    throw error;
  }
}

export class QemuGuest implements Guest {
  readonly machine: MachineDescription;
  readonly regions: readonly Region[];
  readonly doorbell: QemuBell | undefined;
  #process: QemuHost;
  #ram: Ram;
  #marks: RamMarks;
  /** Where RAM comes and goes with states alone. */
  readonly #wholeRam: WholeRam | undefined;
  readonly #ranges: readonly RamRange[];
  #devices: DeviceState;
  #disks: Disks | undefined;
  #live: () => Promise<LiveVerdict>;
  #intent: RunIntent | undefined;
  #wholeness: Wholeness;
  readonly #guard = new PauseGuard();
  /** Settles when the pauses and resumes so far have been served: they go one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  /** What it was when it came to rest, which it stays until it is let go. */
  #status: RunState = 'paused';
  /** Whether it shall run when the last pause ends. */
  #runsAfter = false;

  constructor(
    process: QemuHost,
    { ram, marks }: { readonly ram: Ram; readonly marks: RamMarks },
    ranges: readonly RamRange[],
    devices: DeviceState,
    { disks, live = UNPROVEN, intent }: Pick<QemuGuestOptions, 'disks' | 'live' | 'intent'>,
  ) {
    this.#intent = intent;
    this.#wholeness = new Wholeness(intent);
    this.#live = live;
    this.#process = process;
    this.doorbell = process.bell;
    this.#ram = ram;
    this.#marks = marks;
    this.#wholeRam = ram instanceof WholeRam ? ram : undefined;
    this.#ranges = ranges;
    this.#devices = devices;
    this.#disks = disks;
    process.qmp.onEvent(({ event }) => {
      if (event === 'RESET') devices.lookAgain();
    });
    this.regions = regionsOf(ranges);
    const { machine, cpu, cpus, accelerator, memoryBytes } = process.profile;
    this.machine = {
      kind: 'qemu',
      // The version of device state: what it holds is versioned by QEMU itself, with the machine type.
      version: '1',
      architecture: 'x86_64',
      config: { machine, cpu, cpus, accelerator, memoryBytes, ...devices.config, ...disks?.config },
    };
  }

  get traits(): GuestTraits {
    const sharedMemoryReason = 'its memory belongs to another process';
    const tornIsNow = this.#wholeRam === undefined;
    return { ...this.#marks.traits, sharedMemory: false, sharedMemoryReason, tornIsNow };
  }

  /** What a clone was made of. From now on what it wrote since is told, and never all pages: whoever asks has these from here. */
  takeOrigin() {
    return originOf(this.#ram, this.#ranges, this.#marks);
  }

  /** Whether it runs at the moment: not while it is paused, and not after its user stopped it. */
  async isRunning(): Promise<boolean> {
    return (await this.#process.qmp.execute('query-status')).running;
  }

  /** Whether a restore of it was cut off, when its owner was killed: until the next restore it can neither run nor be saved. */
  get isTorn(): boolean {
    return this.#wholeness.isTorn;
  }

  /** Whether its owner means it to run when nothing is done with it; for one that may outlive its owner. */
  get shallRun(): boolean {
    return this.#intent?.shallRun ?? false;
  }

  /** Lets it run, now or when the last pause ends. Throws `wrong-state` while it is torn. */
  start(): Promise<void> {
    return this.#inTurn(async () => {
      this.#guard.requireOpen();
      this.#wholeness.require();
      this.#intent?.setShallRun(true);
      if (this.#guard.state === 'paused') this.#runsAfter = true;
      else await this.#process.qmp.execute('cont');
    });
  }

  /** Stops it until `start`: pauses that end leave it stopped. */
  stop(): Promise<void> {
    return this.#inTurn(async () => {
      this.#guard.requireOpen();
      if (this.#guard.state === 'paused') this.#runsAfter = false;
      else await comeToRest(this.#process);
      this.#intent?.setShallRun(false);
    });
  }

  pause({ devices }: PauseNeeds = {}): Promise<void> {
    return this.#inTurn(async () => {
      this.#guard.requireOpen();
      // Devices are needed for what shall last.
      if (devices) this.#wholeness.require();
      if (this.#guard.state === 'running') {
        const { status, ran } = await comeToRest(this.#process);
        this.#status = status;
        this.#runsAfter = ran && !ENDED_STATES.includes(status);
        await this.doorbell?.settle();
        this.#devices.forget();
        await this.#wholeRam?.refresh();
      }
      this.#guard.pause();
    });
  }

  resume(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#guard.resume()) return;
      // What was written without a state after it.
      if (this.#wholeRam?.isPending) await this.#devices.load(this.#devices.read(await this.#devices.save()));
      this.#wholeness.endReplacing();
      if (this.#runsAfter) await this.#process.qmp.execute('cont');
    });
  }

  takeDirty(): DirtyTake {
    this.#guard.requirePaused();
    return this.#marks.take();
  }

  view(): undefined {
    this.#guard.requirePaused();
    return undefined;
  }

  readPages(span: Span, into: Uint8Array): void {
    this.#guard.requirePaused();
    this.#read(span, into);
  }

  /** As `readPages`, of a machine that runs: bytes of different instants. */
  readTorn(span: Span, into: Uint8Array): void {
    this.#guard.requireOpen();
    this.#read(span, into);
  }

  writePages(span: Span, from: Uint8Array): void {
    this.#guard.requirePaused();
    const offsetBytes = this.#offsetOf(span);
    this.#wholeness.beginReplacing();
    // First: one that fails half-way has written, too.
    this.#marks.wrote(offsetBytes, span.lengthBytes);
    this.#ram.write(offsetBytes, from.subarray(0, span.lengthBytes));
  }

  streamInstant(
    told: PageTold,
    signal?: AbortSignal,
    suspects?: readonly (PageSet | null)[],
  ): Promise<StreamedInstant | { readonly reason: string }> {
    // Pauses wait for its end: QEMU itself stops the machine and we let it go on.
    return this.#inTurn(async () => {
      this.#guard.requireOpen();
      if (this.#guard.state === 'paused') return { reason: 'it is paused' };
      if (!(await this.isRunning())) return { reason: 'it does not run' };
      const parts = {
        ...{ ranges: this.#ranges, ram: this.#ram, marks: this.#marks },
        ...{ devices: this.#devices, disks: this.#disks, live: this.#live },
      };
      return streamMachine(this.#process, parts, told, { signal, suspects });
    });
  }

  async saveDevices(): Promise<DeviceRecord[]> {
    this.#guard.requirePaused();
    const devices = await this.#devices.save();
    this.#wholeness.gave(devices);
    const disks = (await this.#disks?.save()) ?? [];
    return [...devices, ...disks, ...(this.doorbell === undefined ? [] : [this.doorbell.record()])];
  }

  /** As `saveDevices`, by the way that takes longer; for the self-test, which compares the two. */
  async saveDevicesWhole(): Promise<DeviceRecord[]> {
    this.#guard.requirePaused();
    return this.#devices.saveWhole();
  }

  /** How device state gets out, and why that way. */
  get savePath(): SavePath {
    return this.#devices.savePath;
  }

  async loadDevices(records: readonly DeviceRecord[]): Promise<void> {
    this.#guard.requirePaused();
    const state = this.#devices.read(
      records.filter((record) => !isDiskRecord(record) && !isBellRecord(record)),
    );
    const waits = decodeBellRecord(records.find(isBellRecord) ?? NOBODY_WAITS);
    const read = await this.#disks?.read(records);
    this.#wholeness.beginReplacing();
    await this.#reviveEnded();
    const swap = read && (await this.#disks?.swapIn(read));
    try {
      await this.#devices.load(state);
    } catch (error) {
      await swap?.putBack();
      throw error;
    }
    await swap?.commit();
    this.#wholeness.took(records);
    this.doorbell?.loaded(waits);
  }

  /** Memory that its RAM takes of the host's. */
  get usedRamBytes(): number {
    return this.#ram.usedBytes;
  }

  /** Through what its memory is read and written: another way once it moved. */
  get ram(): Ram {
    return this.#ram;
  }

  /**
   * Goes on as the guest that `open` makes of this one at rest, which must not be used by itself; runs on if it ran. `ended` ends the
   * process before. How long it rested, in milliseconds. Throws `busy` while it is paused, and what `open` throws: it is as before then.
   */
  move(open: (at: GuestAtRest) => Promise<QemuGuest>, ended: () => Promise<void>): Promise<number> {
    return this.#inTurn(async () => {
      this.#guard.requireOpen();
      this.#wholeness.require();
      if (this.#guard.state === 'paused') throw new VitrineError('busy', { underWay: 'a pause' });
      const startMs = performance.now();
      const { status, ran } = await comeToRest(this.#process);
      let next: QemuGuest;
      try {
        if (ENDED_STATES.includes(status)) throw new VitrineError('wrong-state', { actual: status });
        await this.doorbell?.settle();
        this.#devices.forget();
        const records = [...(await this.#devices.save()), ...((await this.#disks?.save()) ?? [])];
        next = await open({ records, ram: this.#ram });
      } catch (error) {
        if (ran) await this.#process.qmp.execute('cont');
        throw error;
      }
      // Whoever finds it from now on finds that.
      next.#intent?.setShallRun(this.shallRun);
      await this.#become(next, ended);
      if (ran) await this.#process.qmp.execute('cont');
      return performance.now() - startMs;
    });
  }

  /** Takes the place of a guest that is the same machine, and ends what it was before. */
  async #become(next: QemuGuest, ended: () => Promise<void>): Promise<void> {
    const before = { ram: this.#ram, marks: this.#marks, intent: this.#intent, disks: this.#disks };
    this.#process = next.#process;
    this.#ram = next.#ram;
    this.#devices = next.#devices;
    this.#disks = next.#disks;
    this.#live = next.#live;
    this.#intent = next.#intent;
    this.#wholeness = next.#wholeness;
    // What was written before it stands on its image is not told there: these have told nothing yet, and begin with everything.
    this.#marks = next.#marks;
    before.marks.close();
    before.ram.close();
    before.intent?.close();
    await ended();
    await before.disks?.close();
  }

  async close(): Promise<void> {
    this.#guard.close();
    this.#marks.close();
    this.#ram.close();
    this.#intent?.close();
    await this.#process.close();
    await this.#disks?.close();
  }

  /** A machine that turned itself off goes on only after a reset; state is loaded over it, and then it can. */
  async #reviveEnded(): Promise<void> {
    const { qmp } = this.#process;
    if (!ENDED_STATES.includes(this.#status)) return;
    const reset = qmp.waitFor(({ event }) => event === 'RESET');
    await qmp.execute('system_reset');
    await reset.event;
    this.#status = 'paused';
    this.#runsAfter = true;
  }

  #read(span: Span, into: Uint8Array): void {
    const offsetBytes = this.#offsetOf(span);
    this.#ram.read(offsetBytes, into.subarray(0, span.lengthBytes));
  }

  #offsetOf(span: Span): number {
    const { id } = regionOf(this.regions, span);
    return this.#ranges[id]!.offsetBytes + span.offsetBytes;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}
