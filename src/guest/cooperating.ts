// A guest made of an emulator whose author helps: the arrays that are its memory, functions that save and load the rest,
// and a call before each write. ADDING.md shows it.
//
//   const { guest, beforeWrite } = cooperatingGuest({ machine, regions, devices, tracking: 'marks' });
//   function store(address, byte) { beforeWrite(address); ram[address] = byte; }
//
// An author forgets a writer now and then. So the first scans that find changes compare all memory with what was told
// (`auditScans`); a page that changed untold ends the belief, and the guest is scanned from then on. Nothing is lost.

import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { checkRegions, type Region } from '../memory/region.ts';
import { isShared, type SharedMemory } from '../memory/shared-memory.ts';
import { regionOf, type Span, spansAtAddress } from '../memory/span.ts';
import { authored, authoredError } from './authored.ts';
import type { Barrier, BarrierOptions } from './barrier.ts';
import { CountedReplay } from './counted-replay.ts';
import { type DeviceState, DeviceStates } from './device-states.ts';
import { DirtyMarks } from './dirty-marks.ts';
import type { DoorbellDesk } from './doorbell.ts';
import { FreeHints } from './free-hints.ts';
import type { FreePageRequest, FreeSpanListener } from './free-pages.ts';
import type { DeviceRecord, DirtyTake, Guest, GuestTraits, MachineDescription } from './guest.ts';
import { PauseGuard } from './pause-guard.ts';
import { type WriteListener, WriteWatch } from './write-watch.ts';

// What an author with a doorbell needs beside it.
export { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
export { answerAtRest, DoorbellDesk } from './doorbell.ts';

/** Scans that check the author's word when nothing else is said. */
const AUDIT_SCANS = 3;

/** A block of the emulator's memory, used in place: the array must stay the same one. */
export interface CooperatingRegion {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** None when left out; `markDirty` and `beforeWrite` then cannot name it, `listenerOf` can. */
  readonly guestAddress?: number | null;
  /** `LIMITS.defaultPageBytes` when left out; small memories do well with 256. */
  readonly pageBytes?: number;
  /** `ram` when left out. */
  readonly kind?: Region['kind'];
}

export interface CooperatingOptions {
  readonly machine: MachineDescription;
  readonly regions: readonly CooperatingRegion[];
  /** Everything that is not in a region, in parts: `{ cpu: { version: 1, save, load } }`. */
  readonly devices: Readonly<Record<string, DeviceState>>;
  /**
   * `marks`: `beforeWrite` or `markDirty` is called for every write of every region. `barrier`: `beforeWrite`, and before the
   * write, so that a capture need not stop the guest. `none`, when left out: memory is compared at each save.
   */
  readonly tracking?: 'none' | 'marks' | 'barrier';
  /** Scans with changes that check the marks: 3 when left out, 0 where a test of the author's does. */
  readonly auditScans?: number;
  /**
   * Stops the emulator between two instructions and throws `guest-not-quiescent` where it cannot now. Left out, the
   * author asks `guest.rests` before each turn.
   */
  readonly pauseNow?: () => void;
  /** In place of `pauseNow` for an emulator that stops later: resolves when nothing runs. */
  readonly pause?: () => Promise<void>;
  /** Lets it run again. */
  readonly resume?: () => void;
  /** A restore wrote these bytes: forget what was derived from them, such as decoded code. */
  readonly onWritten?: (span: Span) => void;
  /**
   * Where the guest's programs ask to be saved or put back. Whoever has the word they write calls its `ring`, stops behind
   * that instruction when it answers true, and then calls `answerAtRest(guest, doorbell)`; `word` is what they read.
   */
  readonly doorbell?: DoorbellDesk;
  /**
   * Runs the resting emulator for so many of its own steps (cycles, frames) and returns those it ran, where equal states do equal
   * things: its snapshots can then be verified by replay. More is told in `counted-replay.ts`.
   */
  readonly advance?: (steps: number) => number;
  /** The guest is closed for good. */
  readonly onClose?: () => void;
}

/** A guest, and what its author calls. */
export interface Cooperation {
  readonly guest: CooperatingGuest;
  /** Bytes at this guest address were written, or are about to be. Throws `span-out-of-range`. */
  markDirty(address: number, lengthBytes?: number): void;
  /** Bytes at this guest address are about to be written: all that a barrier needs, and what `markDirty` says, too. */
  beforeWrite(address: number, lengthBytes?: number): void;
  /**
   * The guest uses nothing of these bytes until it writes there again: a save keeps zeros in place of the whole pages among
   * them. Nothing where `tracking` is `none`, and outside of memory. Never throws: guests may say what they like.
   */
  hintFree(address: number, lengthBytes: number): void;
  /** The quickest of them, for one region by offset: what an inner loop calls. Throws `not-found`. */
  listenerOf(region: string): WriteListener;
}

/**
 * Makes a guest of an emulator whose author helps.
 *
 * Throws `argument-invalid` when the regions cannot be those of a machine.
 */
export function cooperatingGuest(options: CooperatingOptions): Cooperation {
  const guest = new CooperatingGuest(options);
  const { regions } = guest;
  const listeners = regions.map((region) => guest.writeListener(region.id));
  const tell = (address: number, lengthBytes = 1): void => {
    // Most machines have one or two regions with an address, and most writes lie in one of them.
    for (let id = 0; id < regions.length; id++) {
      const { guestAddress, sizeBytes } = regions[id]!;
      if (guestAddress === null || address < guestAddress) continue;
      if (address - guestAddress + lengthBytes > sizeBytes) continue;
      listeners[id]!(address - guestAddress, lengthBytes);
      return;
    }
    for (const span of spansAtAddress(regions, address, lengthBytes)) {
      listeners[span.region]!(span.offsetBytes, span.lengthBytes);
    }
  };
  return {
    guest,
    markDirty: tell,
    beforeWrite: tell,
    hintFree: (address, lengthBytes) => guest.hintFree(address, lengthBytes),
    listenerOf(name) {
      const region = regions.find((one) => one.name === name);
      if (region === undefined) throw new VitrineError('not-found', { region: name });
      return listeners[region.id]!;
    },
  };
}

export class CooperatingGuest implements Guest {
  readonly machine: MachineDescription;
  readonly regions: readonly Region[];
  readonly traits: GuestTraits;
  readonly shared: SharedMemory | undefined;
  readonly doorbell?: DoorbellDesk;
  readonly replay?: CountedReplay;
  readonly pauseNow?: () => void;
  readonly resumeNow?: () => void;
  readonly #options: CooperatingOptions;
  readonly #memory: readonly Uint8Array[];
  readonly #devices: DeviceStates;
  readonly #watch: WriteWatch;
  readonly #hints: FreeHints;
  readonly #guard = new PauseGuard();
  #pausing: Promise<void> | undefined;
  /** Whether the emulator has come to rest since the first pause. */
  #rested = false;

  constructor(options: CooperatingOptions) {
    this.#options = options;
    this.machine = options.machine;
    this.regions = options.regions.map((region, id) => ({
      id,
      name: region.name,
      kind: region.kind ?? 'ram',
      guestAddress: region.guestAddress ?? null,
      sizeBytes: region.bytes.length,
      pageBytes: region.pageBytes ?? LIMITS.defaultPageBytes,
    }));
    checkRegions(this.regions);
    this.#memory = options.regions.map((region) => region.bytes);
    this.#devices = new DeviceStates(options.devices);
    const marks = new DirtyMarks(this.regions);
    this.#watch = new WriteWatch(this.regions, marks);
    this.#hints = new FreeHints(this.regions, marks, (region, page) => {
      this.#watch.listenTo(region, page);
      return true;
    });
    this.shared = sharedOf(this.#memory);
    this.traits = traitsOf(options, this.shared !== undefined);
    if (options.doorbell !== undefined) this.doorbell = options.doorbell;
    const { advance } = options;
    if (advance !== undefined) {
      this.replay = new CountedReplay({ requireRest: () => this.#requireRest(), advance });
    }
    if (options.pause === undefined) {
      this.pauseNow = () => this.#pauseNow();
      this.resumeNow = () => this.#resumeNow();
    }
  }

  /** Whether the guest rests: an emulator that is given turns by its author takes none now. */
  get rests(): boolean {
    return this.#guard.state !== 'running';
  }

  /** Throws `wrong-state` while the guest rests, `guest-closed`: for the first line of what runs the emulator. */
  requireRunning(): void {
    this.#guard.requireRunning();
  }

  /** Tells of writes to one region, for whoever wires the emulator. */
  writeListener(region: number): WriteListener {
    // Safe: ids are indices.
    return this.#watch.listenerOf(this.regions[region]!);
  }

  /** As `hintFree` of `Cooperation`. */
  hintFree(address: number, lengthBytes: number): void {
    if (this.traits.tracking !== 'none') this.#hints.hintAt(address, lengthBytes);
  }

  /** There once the guest has hinted anything. */
  get freePageHint(): ((tell: FreeSpanListener) => FreePageRequest) | undefined {
    return this.#hints.request;
  }

  async pause(): Promise<void> {
    const { pause } = this.#options;
    if (pause === undefined) return this.#pauseNow();
    try {
      if (this.#guard.pause()) {
        this.#rested = false;
        this.#pausing = pause();
      }
      await this.#pausing;
      this.#rested = true;
    } catch (error) {
      if (this.#guard.state === 'paused') this.#guard.resume();
      throw authoredError('pause', error);
    }
  }

  async resume(): Promise<void> {
    this.#resumeNow();
  }

  takeDirty(): DirtyTake {
    this.#requireRest();
    if (this.traits.tracking !== 'none') return this.#watch.take();
    return { pages: this.regions.map(() => null), commit: () => {}, putBack: () => {} };
  }

  openBarrier(options: BarrierOptions): Barrier {
    this.#guard.requireOpen();
    if (this.traits.tracking !== 'barrier') throw new VitrineError('unsupported', { missing: 'a barrier' });
    const view = (region: number): Uint8Array => {
      this.#guard.requireOpen();
      return this.#memory[region]!;
    };
    return this.#watch.openBarrier({ regions: this.regions, view }, options);
  }

  view(region: number): Uint8Array | undefined {
    this.#requireRest();
    return this.#memory[region];
  }

  readPages(span: Span, into: Uint8Array): void {
    this.#requireRest();
    const bytes = this.#bytes(regionOf(this.regions, span));
    into.set(bytes.subarray(span.offsetBytes, span.offsetBytes + span.lengthBytes));
  }

  writePages(span: Span, from: Uint8Array): void {
    this.#requireRest();
    const region = regionOf(this.regions, span);
    this.writeListener(region.id)(span.offsetBytes, span.lengthBytes);
    this.#bytes(region).set(from.subarray(0, span.lengthBytes), span.offsetBytes);
    authored('onWritten', () => this.#options.onWritten?.(span));
  }

  saveDevices(): DeviceRecord[] {
    this.#requireRest();
    return this.#devices.save();
  }

  loadDevices(records: readonly DeviceRecord[]): void {
    this.#requireRest();
    this.#hints.forget();
    this.#devices.load(records);
    this.#options.doorbell?.restored();
  }

  async close(): Promise<void> {
    if (!this.#guard.close()) return;
    this.#options.doorbell?.stop();
    this.#options.onClose?.();
  }

  #pauseNow(): void {
    if (!this.#guard.pause()) return;
    try {
      this.#options.pauseNow?.();
      this.#rested = true;
    } catch (error) {
      this.#guard.resume();
      throw authoredError('pauseNow', error);
    }
  }

  #resumeNow(): void {
    if (this.#guard.resume()) authored('resume', () => this.#options.resume?.());
  }

  /** Also while a pause still waits for the emulator, it is not at rest. */
  #requireRest(): void {
    this.#guard.requirePaused();
    if (!this.#rested) throw new VitrineError('wrong-state', { actual: 'pausing', required: 'paused' });
  }

  #bytes(region: Region): Uint8Array {
    // Safe: ids are indices, and there is one array a region.
    return this.#memory[region.id]!;
  }
}

function sharedOf(memory: readonly Uint8Array[]): SharedMemory | undefined {
  const regions = memory.flatMap(({ buffer, byteOffset, length }, region) =>
    isShared(buffer) ? [{ region, buffer, offsetBytes: byteOffset, sizeBytes: length }] : [],
  );
  return regions.length > 0 ? { regions } : undefined;
}

function traitsOf(options: CooperatingOptions, sharedMemory: boolean): GuestTraits {
  const { tracking = 'none', auditScans = AUDIT_SCANS } = options;
  if (tracking === 'none' || auditScans === 0) return { tracking, sharedMemory };
  return { tracking, auditScans, sharedMemory };
}
