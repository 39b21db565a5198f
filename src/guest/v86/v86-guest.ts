// The v86 guest: an x86 PC in WebAssembly. Regions are its RAM, its video memory and the disk images that it holds in
// memory; all else is device records, cut so that buffers which rarely change stand alone.
//
// A pause takes effect between two of v86's slices, at once when one is not running. Time, screen, disks and the state
// that v86's own functions lose are handled in the files beside this one; README.md lists what was found wrong upstream.

import { VitrineError } from '../../base/error.ts';
import { checkRegions, type Region } from '../../memory/region.ts';
import type { SharedMemory } from '../../memory/shared-memory.ts';
import { regionOf, type Span } from '../../memory/span.ts';
import type { Barrier, BarrierOptions } from '../barrier.ts';
import { answerAtRest, type DoorbellDesk } from '../doorbell.ts';
import type { FreePageRequest, FreeSpanListener } from '../free-pages.ts';
import type { DeviceRecord, DirtyTake, Guest, GuestTraits, MachineDescription } from '../guest.ts';
import { PauseGuard } from '../pause-guard.ts';
import { describeMachine, listRegions } from './describe-machine.ts';
import { describeSharing, sharedMemoryOf } from './describe-sharing.ts';
import { type VirtualTime, virtualTimeOf } from './deterministic-clock.ts';
import { indexRecords, RECORD_VERSION, takeRecord } from './device-records.ts';
import {
  type AttachedDisk,
  decodeWrittenBlocks,
  disksOf,
  encodeWrittenBlocks,
  isDiskBusy,
  loadWrittenBlocks,
} from './disks.ts';
import { V86Doorbell } from './doorbell.ts';
import { V86FreePages } from './free-pages.ts';
import { GuestClock } from './guest-clock.ts';
import { attachHeadlessScreen, type HeadlessScreen } from './headless-screen.ts';
import { InputGate } from './input-gate.ts';
import { MachineState } from './machine-state.ts';
import { RamView } from './ram-view.ts';
import { V86Replay } from './replay-machine.ts';
import type { Screen } from './screen-frame.ts';
import { allowSharedViews } from './shared-views.ts';
import { SliceGate } from './slice-gate.ts';
import { checkInternals, type V86Cpu, type V86Emulator } from './v86-internals.ts';
import { V86Tracking } from './v86-tracking.ts';

const STATE_RECORD = 'state';

/** A drive that waits for its base image longer than this makes a pause fail. */
const DISK_WAIT_MS = 5000;
const DISK_BUSY = { reason: 'disk read under way' };

export interface AdoptOptions {
  /**
   * `replace` puts a screen in place of the emulator's that needs no page and gives frames; `keep` leaves the embedder's
   * screen alone, and `screen` is undefined. `keep` when left out.
   */
  readonly screen?: 'replace' | 'keep';
  /** Whether `close` destroys the emulator too. True when left out. */
  readonly ownsEmulator?: boolean;
  /**
   * `auto` follows which pages of RAM are written when the emulator was built with `trackedWasmFn`; `traits` tell
   * whether it does, and why not. `auto` when left out.
   */
  readonly tracking?: 'auto' | 'none';
}

/**
 * Makes a guest of an emulator that an embedder already has and that said `emulator-ready`.
 *
 * Throws `unsupported`, naming what is missing, when it is another build than this adapter was written for.
 */
export function adoptV86(emulator: unknown, options: AdoptOptions = {}): V86Guest {
  return new V86Guest(checkInternals(emulator), options);
}

export class V86Guest implements Guest {
  readonly machine: MachineDescription;
  readonly regions: readonly Region[];
  readonly traits: GuestTraits;
  /** What the machine shows, when the guest was opened with a screen of its own. */
  readonly screen: Screen | undefined;
  /** Where the machine's own programs ask to be saved: port 0x5674. */
  readonly doorbell: DoorbellDesk;

  readonly #emulator: V86Emulator;
  readonly #cpu: V86Cpu;
  readonly #ram: RamView;
  readonly #disks: readonly AttachedDisk[];
  readonly #gate: SliceGate;
  readonly #bell: V86Doorbell;
  readonly #freePages: V86FreePages | undefined;
  /** There where the machine has a balloon. */
  readonly freePageHint: ((tell: FreeSpanListener) => FreePageRequest) | undefined;
  /** There where the machine was opened as `deterministic`: it does the same again from the same state. */
  readonly replay: V86Replay | undefined;
  readonly #input: InputGate;
  readonly #clock: GuestClock;
  readonly #state: MachineState;
  readonly #guard = new PauseGuard();
  readonly #headless: HeadlessScreen | undefined;
  readonly #ownsEmulator: boolean;
  readonly #tracking: V86Tracking;
  readonly #disallowSharedViews: () => void;
  readonly #serialListeners = new Set<(bytes: Uint8Array<ArrayBuffer>) => void>();
  readonly #onSerialByte = (byte: never) => this.#collectSerial(byte);
  #serialOutput: number[] = [];
  #failure: { readonly cause: unknown } | undefined;
  #isTlbStale = false;
  #pausing: Promise<void> = Promise.resolve();

  /** Use `adoptV86` or `openV86`. */
  constructor(emulator: V86Emulator, options: AdoptOptions) {
    this.#emulator = emulator;
    this.#cpu = emulator.v86.cpu;
    this.#ram = new RamView(this.#cpu);
    this.#ownsEmulator = options.ownsEmulator ?? true;
    this.#disks = disksOf(this.#cpu);
    this.machine = describeMachine(this.#cpu, this.#disks);
    this.regions = listRegions(this.#cpu, this.#disks);
    checkRegions(this.regions);
    const time = virtualTimeOf(this.#cpu.wm.exports);
    this.#clock =
      time === undefined
        ? new GuestClock(this.#cpu, () => emulator.v86.constructor.microtick())
        : new GuestClock(this.#cpu, () => time.nowMs, time);
    this.#state = new MachineState(this.#cpu, this.#disks, this.#clock);
    this.replay = time && this.#makeReplay(emulator, time);
    this.#input = new InputGate(emulator.bus);
    this.#bell = new V86Doorbell(this.#cpu);
    this.doorbell = this.#bell.desk;
    this.#gate = new SliceGate(emulator.v86, {
      onSlice: () => {
        this.#clock.thaw();
        this.#freePages?.onSlice();
      },
      onSliceEnd: () => answerAtRest(this, this.#bell.desk),
      onFailure: (cause) => this.#fail(cause),
    });
    // Asking is input that no log has.
    this.#freePages = time ? undefined : V86FreePages.of(this.#cpu, () => this.#gate.nudge());
    this.freePageHint = this.#freePages && ((tell) => this.#askFreePages(tell));
    const view = (region: number) => this.#view(region);
    const parts = { cpu: this.#cpu, disks: this.#disks, regions: this.regions, view };
    this.#tracking = new V86Tracking(parts, options.tracking ?? 'auto');
    this.traits = {
      ...this.#tracking.traits,
      ...describeSharing(this.#cpu),
    };
    this.#disallowSharedViews = allowSharedViews(emulator, { keepsScreen: options.screen !== 'replace' });
    if (options.screen === 'replace') {
      this.#headless = attachHeadlessScreen(
        emulator,
        () => time !== undefined || this.#guard.state !== 'running',
      );
    }
    this.screen = this.#headless;
    emulator.add_listener('serial0-output-byte', this.#onSerialByte);
  }

  /** Where RAM and video memory lie for readers in other workers; undefined where they are not shared. */
  get shared(): SharedMemory | undefined {
    return sharedMemoryOf(this.#cpu, this.regions);
  }

  /** Lets the machine run, as its power switch does. Independent of pauses: a paused one runs when it is resumed. */
  async start(): Promise<void> {
    this.#guard.requireOpen();
    await this.#emulator.run();
  }

  /** Stops the machine until `start`; resumes leave it stopped. Throws `wrong-state` while paused. */
  async stop(): Promise<void> {
    this.#guard.requireRunning();
    await this.#emulator.stop();
  }

  /** Whether the user lets it run. */
  get isStarted(): boolean {
    return this.#emulator.v86.running && !this.#emulator.v86.stopping;
  }

  /** Sends bytes into the first serial port: to its queue, which a snapshot holds, or after the pause if there is one. */
  sendSerial(bytes: Uint8Array): void {
    this.#guard.requireOpen();
    for (const byte of bytes) this.#emulator.bus.send('serial0-input', byte);
  }

  /** Calls `listener` with what the first serial port sent, soon after, until the returned function is called. */
  onSerial(listener: (bytes: Uint8Array<ArrayBuffer>) => void): () => void {
    this.#serialListeners.add(listener);
    return () => this.#serialListeners.delete(listener);
  }

  /** Sends keyboard scan codes of set 1, as the keyboard does: 0x1e presses A, 0x9e releases it. After a pause too. */
  sendKeys(scanCodes: Iterable<number>): void {
    this.#guard.requireOpen();
    for (const code of scanCodes) this.#emulator.bus.send('keyboard-code', code);
  }

  async pause(): Promise<void> {
    if (!this.#guard.pause()) return this.#pausing;
    this.#pausing = this.#comeToRest();
    try {
      await this.#pausing;
    } catch (error) {
      if (this.#guard.state === 'paused' && this.#guard.resume()) this.#release();
      throw error;
    }
  }

  async resume(): Promise<void> {
    this.resumeNow();
  }

  pauseNow(): void {
    // Whoever waits inside this pause, as for a checkpoint at the doorbell, finds what compares large buffers ready.
    if (this.#guard.pause()) this.#pausing = this.#state.prepare();
    try {
      if (!this.#gate.shutNow()) throw new VitrineError('guest-not-quiescent', { reason: 'in a slice' });
      this.#holdInput();
      if (isDiskBusy(this.#cpu)) throw new VitrineError('guest-not-quiescent', DISK_BUSY);
      this.#clock.freeze();
    } catch (error) {
      this.resumeNow();
      throw error;
    }
  }

  resumeNow(): void {
    if (this.#guard.resume()) this.#release();
  }

  takeDirty(): DirtyTake {
    this.#guard.requirePaused();
    return this.#tracking.take();
  }

  openBarrier(options: BarrierOptions): Barrier {
    this.#guard.requireOpen();
    return this.#tracking.openBarrier(options);
  }

  view(region: number): Uint8Array | undefined {
    this.#guard.requirePaused();
    return this.#bytesOf(region);
  }

  readPages(span: Span, into: Uint8Array): void {
    this.#guard.requirePaused();
    regionOf(this.regions, span);
    const end = span.offsetBytes + span.lengthBytes;
    into.set(this.#bytesOf(span.region)!.subarray(span.offsetBytes, end));
  }

  writePages(span: Span, from: Uint8Array): void {
    this.#guard.requirePaused();
    const region = regionOf(this.regions, span);
    if (span.lengthBytes === 0) return;
    this.#tracking.beforeWrite(span);
    this.#bytesOf(span.region)!.set(from, span.offsetBytes);
    if (region.name === 'ram') {
      this.#cpu.jit_dirty_cache(span.offsetBytes, span.offsetBytes + span.lengthBytes);
      // The bytes may have been page tables: what was looked up in them is forgotten before the machine runs again.
      this.#isTlbStale = true;
    } else if (region.kind === 'device') {
      this.#cpu.svga_mark_dirty();
      this.#headless?.invalidate();
    }
  }

  saveDevices(): DeviceRecord[] {
    this.#guard.requirePaused();
    const { tree, large } = this.#state.save();
    const records: DeviceRecord[] = [{ name: STATE_RECORD, version: RECORD_VERSION, bytes: tree }];
    for (const [name, bytes] of large) records.push({ name, version: RECORD_VERSION, bytes });
    for (const { name, disk } of this.#blockDisks()) {
      records.push({ name, version: RECORD_VERSION, bytes: encodeWrittenBlocks(disk) });
    }
    return records;
  }

  loadDevices(records: readonly DeviceRecord[]): void {
    this.#guard.requirePaused();
    const byName = indexRecords(records);
    const written = this.#blockDisks().map(({ name, disk }) => {
      const blocks = decodeWrittenBlocks(takeRecord(byName, name), disk, name);
      return { disk, blocks };
    });
    const state = takeRecord(byName, STATE_RECORD);
    if (this.replay === undefined) this.#state.load(state, byName);
    else this.replay.holding(() => this.#state.load(state, byName));
    for (const { disk, blocks } of written) loadWrittenBlocks(disk, blocks);
    this.#bell.desk.restored();
    this.#headless?.invalidate();
  }

  async close(): Promise<void> {
    if (!this.#guard.close()) return;
    this.#serialListeners.clear();
    this.#headless?.destroy();
    this.#emulator.remove_listener('serial0-output-byte', this.#onSerialByte);
    this.#input.remove();
    this.#gate.remove();
    this.#bell.remove();
    this.replay?.remove();
    this.#freePages?.remove();
    this.#clock.remove();
    this.#tracking.remove();
    this.#disallowSharedViews();
    if (!this.#ownsEmulator) return;
    const destroyed = this.#emulator.destroy();
    this.#emulator.v86.next_tick(0);
    await destroyed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #comeToRest(): Promise<void> {
    await this.#state.prepare();
    await this.#gate.shut();
    this.#holdInput();
    const deadline = Date.now() + DISK_WAIT_MS;
    while (isDiskBusy(this.#cpu)) {
      if (Date.now() > deadline) throw new VitrineError('guest-not-quiescent', DISK_BUSY);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    this.#clock.freeze();
  }

  #makeReplay(emulator: V86Emulator, time: VirtualTime): V86Replay {
    return new V86Replay(emulator, time, {
      requirePaused: () => this.#guard.requirePaused(),
      reload: (between) => {
        const { tree, large } = this.#state.save();
        between();
        this.#clock.freezeAnew();
        this.replay!.holding(() => this.#state.load(tree, large));
      },
      leaveRest: () => this.#clock.thaw(),
      enterRest: () => this.#clock.freeze(),
      drawFrame: () => this.#headless?.refresh(),
      onFailure: (cause) => this.#fail(cause),
    });
  }

  #fail(cause: unknown): void {
    this.#failure = { cause };
  }

  #holdInput(): void {
    this.#input.shut();
    if (this.#failure !== undefined) throw new VitrineError('guest-failed', {}, this.#failure);
  }

  #release(): void {
    if (this.#isTlbStale) this.#cpu.full_clear_tlb();
    this.#isTlbStale = false;
    this.#input.open();
    this.#gate.open();
  }

  #view(region: number): Uint8Array {
    this.#guard.requireOpen();
    return this.#bytesOf(region)!;
  }

  #askFreePages(tell: FreeSpanListener): FreePageRequest {
    this.#guard.requirePaused();
    return this.#freePages!.ask(tell);
  }

  /** Asked for at each call: memory that grows leaves older views empty. */
  #bytesOf(region: number): Uint8Array | undefined {
    const { wasm_memory: memory, devices } = this.#cpu;
    const name = this.regions[region]?.name;
    if (name === 'ram') return this.#ram.bytes;
    if (name === 'vga.vram') {
      return new Uint8Array(memory.buffer, devices.vga.svga_memory.byteOffset, devices.vga.vga_memory_size);
    }
    const disk = this.#disks.find((one) => `disk.${one.name}` === name)?.disk;
    return disk?.buffer === undefined ? undefined : new Uint8Array(disk.buffer);
  }

  #blockDisks(): { readonly name: string; readonly disk: AttachedDisk['disk'] }[] {
    return this.#disks
      .filter((one) => one.kind === 'blocks')
      .map(({ name, disk }) => ({ name: `disk.${name}.written`, disk }));
  }

  #collectSerial(byte: number): void {
    if (this.#serialListeners.size === 0) return;
    if (this.#serialOutput.push(byte) > 1) return;
    queueMicrotask(() => {
      const bytes = Uint8Array.from(this.#serialOutput);
      this.#serialOutput = [];
      for (const listener of this.#serialListeners) listener(bytes);
    });
  }
}
