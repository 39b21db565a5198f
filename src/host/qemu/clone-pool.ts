// Many machines from one snapshot. Its RAM is written once into an image that all of them map and none writes: a page is a
// machine's own once it writes it. Processes are started ahead of time and wait; to make one of them a clone takes loading the
// devices, which is milliseconds.
//
//   snapshot ─▶ image of RAM + a stream of devices        once
//   process, waiting ─▶ stream ─▶ a machine at rest       a clone; meanwhile the next process is started
//
// Clones are the same machine, random numbers and keys included: what must be unique, the guest has to make anew.

import { VitrineError } from '../../base/error.ts';
import type { SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { comeToRest } from './come-to-rest.ts';
import type { QemuGuestOptions } from './guest-options.ts';
import { deviceStream, loadStream } from './incoming-state.ts';
import { provePageMap } from './page-map-proof.ts';
import type { QemuProcess } from './process.ts';
import { openProcessRam } from './process-ram.ts';
import { givesMemoryBack, type MachineFiles, type QemuProfile, resolveProfile } from './profile.ts';
import {
  adoptProcess,
  type LaunchedParts,
  type QemuMachine,
  type QemuMachineOptions,
} from './qemu-machine.ts';
import { writeRamImage } from './ram-image.ts';
import { discardRunDirectory, makeRunDirectory } from './run-directory.ts';
import { readSavedMachine, type SavedMachine } from './saved-machine.ts';
import { type SelfTestReport, selfTest } from './self-test.ts';
import type { SerialLine } from './serial-line.ts';
import { SpareProcesses } from './spare-processes.ts';
import { launchWaiting, type WaitingProcess } from './waiting-process.ts';

const DEFAULT_SPARE = 1;
/** Those of a pool are all alike. */
const SHAPE = 'clone';

export interface ClonePoolOptions extends Omit<QemuMachineOptions, 'snapshot'> {
  /** Processes that wait; 1 when left out. Each takes what QEMU takes without RAM, some 30 MiB. */
  readonly spare?: number;
}

/**
 * Makes the image of a snapshot's RAM and starts the first processes.
 *
 * Throws as `openQemuMachine`, `memory-exhausted` where the image finds no room, and `unsupported` for a machine with a balloon.
 * Nothing is left behind then.
 */
export async function openClonePool(
  name: string,
  profile: QemuProfile,
  vitrine: Vitrine,
  snapshot: SnapshotId,
  options: ClonePoolOptions = {},
): Promise<ClonePool> {
  const resolved = resolveProfile(profile);
  // It would make holes in the image of all.
  if (givesMemoryBack(profile)) {
    throw new VitrineError('unsupported', { missing: 'clones of a machine with a balloon' });
  }
  const proof = await selfTest(resolved, options.root);
  const pageMap = await provePageMap(resolved, options.root);
  const saved = await readSavedMachine(vitrine, snapshot, resolved);
  const files = await makeRunDirectory(`${name}-image`, options.root, saved.ramBytes);
  try {
    const read = async (offset: number, lengthBytes: number) =>
      (await saved.readRam([{ offset, lengthBytes }]))[0]!;
    await writeRamImage(files.ram, saved.ramBytes, read);
    const isTold = pageMap.works;
    const pool = new ClonePool({ name, profile, vitrine, saved, proof, isTold, files, options });
    await pool.fill();
    return pool;
  } catch (error) {
    await discardRunDirectory(files);
    throw error;
  }
}

interface PoolParts {
  readonly name: string;
  readonly profile: QemuProfile;
  readonly vitrine: Vitrine;
  readonly saved: SavedMachine;
  readonly proof: SelfTestReport;
  /** Whether the kernel was proven to tell what a clone wrote. */
  readonly isTold: boolean;
  readonly files: MachineFiles;
  readonly options: ClonePoolOptions;
}

export class ClonePool {
  readonly #parts: PoolParts;
  /** What every clone is sent. */
  readonly #stream: readonly Uint8Array[];
  readonly #spares: SpareProcesses;
  readonly #clones = new Set<Clone>();
  #launched = 0;
  #isOpen = true;

  constructor(parts: PoolParts) {
    this.#parts = parts;
    this.#stream = deviceStream(parts.saved);
    this.#spares = new SpareProcesses({ most: parts.options.spare ?? DEFAULT_SPARE });
  }

  /** Resolves when the processes that shall wait do. Throws what starting one throws. */
  async fill(): Promise<void> {
    await this.#spares.fill(SHAPE, () => this.#launch(), this.#parts.options.spare ?? DEFAULT_SPARE);
  }

  /**
   * A machine at rest, exactly as the snapshot's. Others may be asked for at once.
   *
   * Throws `guest-closed` after `close`, `guest-failed` when QEMU refuses the state, `guest-lost`, and what starting a process
   * throws.
   */
  async clone(): Promise<Clone> {
    if (!this.#isOpen) throw new VitrineError('guest-closed');
    const waiting = (await this.#spares.take(SHAPE)) ?? (await this.#launch());
    const { profile, vitrine, proof } = this.#parts;
    const { name, process, serial, disks } = waiting;
    const parts = { name, profile, process, serial, disks, proof, vitrine };
    try {
      await loadStream(process, await waiting.connect(), this.#stream);
      // Now that there is time for it; whoever asks next hears of what goes wrong.
      this.fill().catch(() => {});
      process.bell?.loaded(this.#parts.saved.waits, this.#parts.saved.id);
      const { isTold, saved, files, options } = this.#parts;
      const { sections, contents: blocks } = saved;
      const origin = isTold ? { image: files.ram } : undefined;
      const of = { ...options, origin, loaded: { sections, blocks } };
      const clone = new Clone(parts, of, () => this.#clones.delete(clone));
      this.#clones.add(clone);
      return clone;
    } catch (error) {
      await waiting.end();
      throw error;
    }
  }

  /** Ends the pool and all its clones, and removes the image. May be called again. */
  async close(): Promise<void> {
    this.#isOpen = false;
    await this.#spares.close();
    for (const clone of [...this.#clones]) await clone.close();
    await discardRunDirectory(this.#parts.files);
  }

  #launch(): Promise<WaitingProcess> {
    const { name, profile, saved, files, options } = this.#parts;
    return launchWaiting(`${name}-${++this.#launched}`, {
      ...{ profile: { ...profile, ramImage: files.ram }, ram: 'there', disks: options.disks },
      ...{ standsOn: saved.disks, ...(options.root === undefined ? {} : { root: options.root }) },
    });
  }
}

type CloneOptions = ClonePoolOptions & Pick<QemuGuestOptions, 'origin' | 'loaded'>;

/** One machine of many. */
export class Clone {
  readonly name: string;
  readonly serial: SerialLine;
  readonly process: QemuProcess;
  readonly #parts: LaunchedParts;
  readonly #options: CloneOptions;
  readonly #forget: () => void;
  readonly #stopListening: () => void;
  /** Whether its firmware ran since it was made. */
  #wasReset = false;
  #machine: Promise<QemuMachine> | undefined;

  constructor(parts: LaunchedParts, options: CloneOptions, forget: () => void) {
    this.name = parts.name;
    this.serial = parts.serial;
    this.process = parts.process;
    this.#parts = parts;
    this.#options = options;
    this.#forget = forget;
    this.#stopListening = parts.process.qmp.onEvent(({ event }) => {
      if (event === 'RESET') this.#wasReset = true;
    });
  }

  /** Lets it run. */
  async start(): Promise<void> {
    await this.process.qmp.execute('cont');
  }

  /** Stops it until `start`. */
  async stop(): Promise<void> {
    await comeToRest(this.process);
  }

  /** Memory that it does not share: the RAM it wrote. Throws as `adopt`. */
  async ownBytes(): Promise<number> {
    const ram = await openProcessRam(this.process.qmp, this.process.pid, this.process.profile.memoryBytes);
    try {
      return ram.usedBytes;
    } finally {
      ram.close();
    }
  }

  /**
   * Puts it under the engine, to be saved, restored, peeked, as a machine of this name (its own when left out). Where the kernel
   * was proven to tell what it wrote, nothing else of it is looked at. It runs on, or rests, as it did.
   *
   * Throws `unsupported` where its process may not be looked into.
   */
  adopt(name = this.name): Promise<QemuMachine> {
    this.#machine ??= this.#adopt(name);
    return this.#machine;
  }

  /** Ends it. Snapshots of it stay. May be called again. */
  async close(): Promise<void> {
    this.#forget();
    const machine = await this.#machine?.catch(() => undefined);
    await machine?.close();
    await end(this.#parts);
  }

  async #adopt(name: string): Promise<QemuMachine> {
    const { ran } = await comeToRest(this.process);
    // Where its firmware ran since, that wrote what is ROM to everybody else.
    const loaded = this.#wasReset ? undefined : this.#options.loaded;
    const machine = await adoptProcess(
      { ...this.#parts, name },
      { ...this.#options, ram: 'private', loaded },
    );
    this.#stopListening();
    try {
      if (ran) await machine.start();
      return machine;
    } catch (error) {
      await machine.close();
      throw error;
    }
  }
}

async function end({ process, serial, disks }: LaunchedParts): Promise<void> {
  serial.close();
  process.kill();
  await process.close();
  await disks?.close();
}
