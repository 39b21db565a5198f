// A QEMU machine under an engine: the process, the guest in it, its tracker, its serial line, and the store it is saved to.
// This is what the bridge and the commands call.
//
//   const machine = await openQemuMachine('first', { memoryBytes: 512 * MIB, kernel, initrd }, vitrine);
//   await machine.start();
//   const { snapshot } = await machine.machine.save({ label: 'booted' });
//   await machine.machine.restore(snapshot.id);

import type { Clock } from '../../base/clock.ts';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import type { Machine } from '../../engine/machine.ts';
import { MACHINE_NAME_PATTERN, type SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { spansAtAddress } from '../../memory/span.ts';
import { ScanTracker } from '../../tracking/scan-tracker.ts';
import type { Tracker } from '../../tracking/tracker.ts';
import { addressSpaceOf } from '../forensics/page-walk.ts';
import { PhysicalMemory, type PhysicalRange } from '../forensics/physical-memory.ts';
import { VirtualMemory } from '../forensics/virtual-memory.ts';
import { type CpuRegisters, registersIn } from './cpu-record.ts';
import type { SavePath } from './device-state.ts';
import { type DiskOptions, type Disks, openDisks } from './disks.ts';
import { type FreePagesState, freePagesState } from './free-pages.ts';
import type { QemuGuestOptions } from './guest-options.ts';
import { launchWith } from './launch-with.ts';
import { proveLiveOf } from './live-proof.ts';
import { openTracker } from './open-tracker.ts';
import type { LaunchOptions, QemuProcess } from './process.ts';
import { type QemuProfile, resolveProfile } from './profile.ts';
import { openQemuGuest, type QemuGuest } from './qemu-guest.ts';
import type { RunState } from './qmp-commands.ts';
import { type MovedMachine, moveMachine, type QuickenReport, quickBecause } from './quicken.ts';
import { nameOf } from './run-directory.ts';
import { RunIntent } from './run-intent.ts';
import { type SelfTestReport, selfTest, type Verdict } from './self-test.ts';
import { connectSerial, type SerialLine } from './serial-line.ts';
import { untilLooked } from './until-looked.ts';

export interface QemuMachineOptions extends LaunchOptions {
  /**
   * Where it goes on from: a snapshot of a machine of the same shape. Without it, it starts as if it had been switched on.
   * Either way it rests until `start`.
   */
  readonly snapshot?: SnapshotId;
  readonly clock?: Clock;
  /**
   * Up to so much RAM a second copy of it is kept, for quick checkpoints and small deltas. A larger machine is told by a
   * digest a page, for which the bridge takes 32 bytes a page and 128 MiB whatever its size. 1 GiB when left out.
   */
  readonly mostCopiedBytes?: number;
  /**
   * Where given, it goes on when this process ends or is killed, and whoever has the same home finds it (`kept-machine.ts`).
   * Otherwise it ends with this process.
   */
  readonly keptFor?: string;
  /** The machine whose place it is to take, and which is closed then: until it ended it is the one that is found. */
  readonly inPlaceOf?: QemuMachine;
  /**
   * Whether Linux is asked what it wrote, where that tells it by soft-dirty bits. True when left out; false where others on the host clear
   * those, as CRIU does: they would take them from us and we from them.
   */
  readonly softDirty?: boolean;
  /** Disks that are saved and restored with it, and the folder of the layers that hold what is written to them. */
  readonly disks?: { readonly folder: string; readonly files: readonly DiskOptions[] };
}

/** What a machine is doing, for people and programs. */
export interface QemuMachineStatus {
  readonly name: string;
  /** QEMU's own word, or `lost` when its process is gone. */
  readonly state: RunState | 'lost';
  readonly pid: number;
  /** QEMU's version. */
  readonly version: string;
  readonly machine: string;
  readonly accelerator: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Memory that its RAM takes of the host's. */
  readonly usedMemoryBytes: number;
  /** Whether its kernel tells what is free; null without a balloon for it. */
  readonly freePages: FreePagesState | null;
  /** The snapshot it goes on from. */
  readonly base: SnapshotId | null;
  /** How device state gets out and in, and why that way: what the self-test saw on this QEMU. */
  readonly save: SavePath;
  readonly restore: Verdict;
  /** The end of what QEMU said on standard error. */
  readonly said: string;
}

/**
 * Starts a machine under `vitrine`; it rests until `start`.
 *
 * Throws `argument-invalid`, `guest-start` with what QEMU said, `unsupported` with the device that cannot be saved, and with
 * a snapshot what `Machine.restore` throws: `guest-mismatch` names the field. Nothing is left behind then.
 */
export async function openQemuMachine(
  name: string,
  profile: QemuProfile,
  vitrine: Vitrine,
  options: QemuMachineOptions = {},
): Promise<QemuMachine> {
  if (!MACHINE_NAME_PATTERN.test(name))
    throw new VitrineError('argument-invalid', { name: 'name', value: name });
  const proof = await selfTest(resolveProfile(profile), options.root);
  const disks = options.disks && (await openDisks(options.disks.files, options.disks.folder));
  const process = await launchWith(disks, name, profile, options);
  let opened: QemuMachine | undefined;
  try {
    const serial = await connectSerial(process.files);
    opened = await adoptProcess({ name, profile, process, serial, disks, proof, vitrine }, options);
    if (options.snapshot !== undefined) await opened.machine.restore(options.snapshot);
    return opened;
  } catch (error) {
    await (opened ?? process).close();
    await disks?.close();
    throw error;
  }
}

/** A process, at rest, that becomes a machine. */
export interface LaunchedParts {
  readonly name: string;
  /** What it was made of, without what its disks and its way of starting added. */
  readonly profile: QemuProfile;
  readonly process: QemuProcess;
  readonly serial: SerialLine;
  readonly disks: Disks | undefined;
  readonly proof: SelfTestReport;
  readonly vitrine: Vitrine;
}

export type AdoptOptions = Pick<
  QemuMachineOptions,
  'clock' | 'root' | 'mostCopiedBytes' | 'keptFor' | 'snapshot' | 'inPlaceOf' | 'softDirty'
> &
  Pick<QemuGuestOptions, 'ram' | 'origin' | 'loaded'> & {
    /** The snapshot that it was brought to. */
    readonly after?: SnapshotId;
  };

/** Of the kernel's marks. */
const NOT_ASKED = { works: false, because: 'it is not asked' } as const satisfies Verdict;

/** Puts a process at rest under an engine; a `snapshot` is put in by the caller. Whoever started it ends it where this throws. */
export async function adoptProcess(
  { name, profile, process, serial, disks, proof, vitrine }: LaunchedParts,
  options: AdoptOptions,
): Promise<QemuMachine> {
  const intent = new RunIntent(process.files.intent);
  // Until it holds the snapshot it is nothing that may run, whoever finds it.
  if (options.snapshot !== undefined) intent.setBeingReplaced(true);
  const guest = await openQemuGuest(process, {
    quickSave: proof.quickSave.works,
    marksProof: options.softDirty === false ? NOT_ASKED : proof.marks,
    restoreFault: proof.inPlace.works ? undefined : proof.inPlace.because,
    disks,
    intent,
    loaded: options.loaded,
    ...(options.ram === 'private' ? { ram: 'private', origin: options.origin } : {}),
    live: () => proveLiveOf(process),
  });
  let tracker: Tracker | undefined;
  try {
    tracker = await openTracker(guest, process, options);
    const { root, keptFor, ram = 'file', inPlaceOf } = options;
    if (keptFor !== undefined && ram !== 'monitor') {
      const before = inPlaceOf && { inPlaceOf: await nameOf(inPlaceOf.process.pid) };
      await process.keep(name, { home: keptFor, profile, ram, disks: disks?.options ?? null, ...before });
    }
    const machine = vitrine.adopt(name, tracker);
    const { after = process.wasFound ? await vitrine.head(name) : null } = options;
    if (after !== null) await noteOrigin(machine, after);
    const parts = { name, machine, guest, process, serial, disks, vitrine, proof };
    const hasMirror = tracker instanceof ScanTracker;
    return new QemuMachine({ ...parts, profile, hasMirror, root, keptFor });
  } catch (error) {
    // One that was found runs on.
    if (process.wasFound) {
      await process.leave();
      disks?.leave();
    }
    await (tracker ?? guest).close();
    throw error;
  }
}

/** What became of the snapshot meanwhile is no matter of a machine that is there. */
async function noteOrigin(machine: Machine, snapshot: SnapshotId): Promise<void> {
  try {
    await machine.goOnFrom(snapshot);
  } catch (error) {
    if (!isVitrineError(error)) throw error;
  }
}

/** A machine at rest, to be looked at. */
export interface InspectedInstant {
  readonly memory: PhysicalMemory;
  /** One a processor. */
  readonly registers: readonly CpuRegisters[];
}

interface QemuMachineParts {
  readonly name: string;
  readonly profile: QemuProfile;
  /** Whether its tracker looks at its memory through its guest alone. */
  readonly hasMirror: boolean;
  readonly root: string | undefined;
  readonly keptFor: string | undefined;
  readonly machine: Machine;
  readonly guest: QemuGuest;
  readonly process: QemuProcess;
  readonly serial: SerialLine;
  readonly disks: Disks | undefined;
  readonly vitrine: Vitrine;
  readonly proof: SelfTestReport;
}

export class QemuMachine {
  readonly name: string;
  /** Save, restore, checkpoint, reset, peek, diff. */
  readonly machine: Machine;
  /** Pauses, raw memory, what QEMU tells. Restores go through `machine`. */
  readonly guest: QemuGuest;
  readonly serial: SerialLine;
  readonly #parts: QemuMachineParts;
  #process: QemuProcess;
  #disks: Disks | undefined;

  constructor(parts: QemuMachineParts) {
    const { name, machine, guest, process, serial, disks } = parts;
    this.#parts = parts;
    this.#disks = disks;
    this.name = name;
    this.machine = machine;
    this.guest = guest;
    guest.doorbell?.nameSnapshotsBy(() => machine.target);
    this.#process = process;
    this.serial = serial;
  }

  /** The process that it runs in now: see `quicken`. */
  get process(): QemuProcess {
    return this.#process;
  }

  /** Lets it run. */
  start(): Promise<void> {
    return this.guest.start();
  }

  /** Stops it until `start`. */
  stop(): Promise<void> {
    return this.guest.stop();
  }

  /**
   * Lets `work` look at the machine at rest: its memory and its processors. It runs on afterwards, whatever happens.
   */
  async inspect<T>(work: (instant: InspectedInstant) => Promise<T>): Promise<T> {
    const { guest } = this;
    await guest.pause();
    try {
      const registers = registersIn(await guest.saveDevices());
      const ranges = guest.regions.map(({ guestAddress, sizeBytes }) => ({
        address: guestAddress ?? 0,
        lengthBytes: sizeBytes,
      }));
      const memory = new PhysicalMemory(ranges, async (address, lengthBytes) => {
        const bytes = new Uint8Array(lengthBytes);
        let at = 0;
        for (const span of spansAtAddress(guest.regions, address, lengthBytes)) {
          guest.readPages(span, bytes.subarray(at, at + span.lengthBytes));
          at += span.lengthBytes;
        }
        return bytes;
      });
      return await work({ memory, registers });
    } finally {
      await guest.resume();
    }
  }

  /**
   * The physical ranges of a virtual one, by the present page tables of a processor, the first unless told. Throws
   * `span-out-of-range` with the first address that is not mapped, `not-found` without such a processor.
   */
  translate(address: bigint, lengthBytes: number, processor = 0): Promise<PhysicalRange[]> {
    return this.inspect(async ({ memory, registers }) => {
      const cpu = registers.find(({ index }) => index === processor);
      if (cpu === undefined) throw new VitrineError('not-found', { processor });
      return new VirtualMemory(memory, addressSpaceOf(cpu)).ranges(address, lengthBytes);
    });
  }

  /** Resolves, with the reason, when its process is gone: it was closed, it ended, it was killed. */
  get lost(): Promise<VitrineError> {
    const { process } = this;
    // One that it went on from ended as it was to.
    return process.qmp.closed.then((reason) => (process === this.process ? reason : this.lost));
  }

  /**
   * Makes resets quick, for whoever is about to reset it often: where a reset would look at all of its memory, or at much, it goes on in a
   * fresh process that tells what it writes. It keeps its name, its memory, devices and disks, its base, checkpoint and serial line; it has
   * another process id, and connections to its picture end. May be called again, at any time.
   *
   * Throws `unsupported` with what is missing, and as `moveMachine`. The machine goes on as it was then.
   */
  async quicken(): Promise<QuickenReport> {
    const { guest, process: before } = this;
    const { name, profile, proof, hasMirror, root, keptFor } = this.#parts;
    const quick = quickBecause(guest);
    if (quick !== undefined) return { moved: false, because: quick, pauseMs: 0 };
    if (!hasMirror) {
      throw new VitrineError('unsupported', {
        missing: 'quick resets of a machine without a copy of its RAM',
      });
    }
    const quickSave = proof.quickSave.works;
    const restoreFault = proof.inPlace.works ? undefined : proof.inPlace.because;
    const moving = { name, profile, process: before, guest, disks: this.#disks, root, keptFor };
    const moved = async (next: MovedMachine): Promise<void> => {
      this.#process = next.process;
      this.#disks = next.disks;
      before.kill();
      await before.close();
      await this.serial.follow(next.serial);
    };
    const move = () =>
      this.machine.alone('quicken', async () => {
        this.serial.hold();
        try {
          await untilLooked(before.qmp);
          return await moveMachine({ ...moving, quickSave, restoreFault }, moved);
        } finally {
          this.serial.release();
        }
      });
    // A guest that asks to be reset over and over leaves no other moment.
    const pauseMs = await (guest.doorbell === undefined ? move() : guest.doorbell.between(move));
    return { moved: true, because: quickBecause(guest) ?? 'it wrote much meanwhile', pauseMs };
  }

  /** Throws nothing for a machine that is lost: it says so. */
  async status(): Promise<QemuMachineStatus> {
    const { profile, pid, qmp, stderr } = this.process;
    const { major, minor, micro } = qmp.version;
    const state = await qmp.execute('query-status').then(
      ({ status }) => status,
      () => 'lost' as const,
    );
    return {
      name: this.name,
      state,
      pid,
      version: `${major}.${minor}.${micro}`,
      machine: profile.machine,
      accelerator: profile.accelerator,
      cpus: profile.cpus,
      memoryBytes: profile.memoryBytes,
      usedMemoryBytes: this.guest.usedRamBytes,
      freePages: profile.freePages ? await freePagesState(qmp).catch(() => 'unknown' as const) : null,
      base: this.machine.base,
      save: this.guest.savePath,
      restore: this.#parts.proof.inPlace,
      said: stderr,
    };
  }

  /** Has it read its disks through what stands for merged layers now; how many disks changed. Throws as `Disks.shorten`. */
  async shortenDisks(): Promise<number> {
    return (await this.#disks?.shorten()) ?? 0;
  }

  /** Leaves a machine that is kept: it goes on, or rests, as it does. May be called again. */
  async leave(): Promise<void> {
    await this.process.leave();
    this.#disks?.leave();
    await this.close();
  }

  /** Ends the machine: its process, its files. Snapshots stay. May be called again. */
  async close(): Promise<void> {
    this.serial.close();
    this.#parts.vitrine.release(this.machine);
    await this.machine.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
