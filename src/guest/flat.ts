// The flat guest: byte arrays as regions, and a machine of two registers that writes into them. It is the smallest
// guest there is, the one to copy for a new emulator, and the one most tests use.
//
// Its machine is exact: what it does next depends on its registers and on the bytes it finds in memory, and on
// nothing else. A restore that loses one bit of either shows in all it does afterwards.
//
// The device record `registers`, 20 bytes, little-endian:
//
//   | Offset | Size | Field                              |
//   |--------|------|------------------------------------|
//   | 0      | 4    | `FLAT`                             |
//   | 4      | 4    | random register, never 0           |
//   | 8      | 4    | checksum register                  |
//   | 12     | 8    | steps done, at most 2^53 - 1       |

import { SYSTEM_CLOCK } from '../base/clock.ts';
import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { checkRegions, type Region } from '../memory/region.ts';
import { isShared, type SharedMemory } from '../memory/shared-memory.ts';
import { regionOf, type Span } from '../memory/span.ts';
import type { Barrier, BarrierOptions } from './barrier.ts';
import { DirtyMarks } from './dirty-marks.ts';
import { answerAtRest, DoorbellDesk } from './doorbell.ts';
import type { FreePageRequest, FreeSpanListener } from './free-pages.ts';
import type {
  ConfigValue,
  DeviceRecord,
  DirtyTake,
  Guest,
  GuestTraits,
  MachineDescription,
} from './guest.ts';
import { PageBarrier } from './page-barrier.ts';
import { PauseGuard } from './pause-guard.ts';
import type { Replay } from './replay.ts';

const RECORD_NAME = 'registers';
const RECORD_VERSION = 1;
const RECORD_BYTES = 20;
const RECORD_MAGIC = 0x54414c46; // `FLAT`, little-endian

/** A region of a flat guest: its bytes are used in place. On a SharedArrayBuffer other workers can read them. */
export interface FlatRegion {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** `LIMITS.defaultPageBytes` when left out. */
  readonly pageBytes?: number;
  /** `ram` when left out. */
  readonly kind?: Region['kind'];
  /** None when left out. */
  readonly guestAddress?: number | null;
}

export interface FlatGuestOptions {
  readonly regions: readonly FlatRegion[];
  /** Where the machine starts; two guests of one seed and equal memory do the same. 1 when left out. */
  readonly seed?: number;
  /** Whether the guest marks the pages that it writes, and has a barrier before them too. `none` when left out. */
  readonly tracking?: 'none' | 'marks' | 'barrier';
}

export class FlatGuest implements Guest {
  readonly machine: MachineDescription;
  readonly regions: readonly Region[];
  readonly traits: GuestTraits;
  readonly shared: SharedMemory | undefined;
  readonly doorbell = new DoorbellDesk('the method ring', 'the instruction', SYSTEM_CLOCK);
  /** All that it does follows from its state; a slice is a step. */
  readonly replay: Replay = {
    begin: () => {
      this.#guard.requirePaused();
      this.#begun = this.#steps;
    },
    run: async (steps) => {
      this.#guard.requirePaused();
      for (let i = 0; i < steps; i++) this.#step();
      const done = this.#steps - this.#begun;
      return { steps: done, slices: done };
    },
  };
  #begun = 0;
  readonly #memory: readonly Uint8Array[];
  readonly #guard = new PauseGuard();
  readonly #marks: DirtyMarks | undefined;
  #barrier: PageBarrier | undefined;
  #random: number;
  #checksum = 0;
  #steps = 0;
  #freeSpans: Span[] = [];

  /** Throws `argument-invalid` when the regions cannot be those of a machine. */
  constructor(options: FlatGuestOptions) {
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
    this.#random = options.seed === undefined ? 1 : options.seed >>> 0 || 1;
    const tracking = options.tracking ?? 'none';
    this.#marks = tracking !== 'none' ? new DirtyMarks(this.regions) : undefined;
    const shared = this.#memory.flatMap(({ buffer, byteOffset, length }, region) =>
      isShared(buffer) ? [{ region, buffer, offsetBytes: byteOffset, sizeBytes: length }] : [],
    );
    this.shared = shared.length > 0 ? { regions: shared } : undefined;
    this.traits = { tracking, sharedMemory: this.shared !== undefined };
    this.machine = { kind: 'flat', version: '1', architecture: 'none', config: configOf(this.regions) };
  }

  /** Steps done since the guest was made. */
  get steps(): number {
    return this.#steps;
  }

  /**
   * Lets the machine do `count` steps. Each changes one byte, most of them near its last one.
   *
   * Returns what can be observed of the run: its steps and the checksum of every byte that it met. Throws
   * `wrong-state` while paused, `guest-closed`.
   */
  run(count: number): string {
    this.#guard.requireRunning();
    for (let i = 0; i < count; i++) this.#step();
    return `${this.#steps} steps, checksum ${this.#checksum.toString(16).padStart(8, '0')}`;
  }

  /** A write by the machine's program, where a test wants a certain one. Throws as `run`, and `span-out-of-range`. */
  write(region: number, offsetBytes: number, bytes: Uint8Array): void {
    this.#guard.requireRunning();
    this.#put({ region, offsetBytes, lengthBytes: bytes.length }, bytes);
  }

  /**
   * Whether the machine's program uses a span from now on: what it says of free pages. One that uses them all the same
   * lies, and its snapshots hold zeros there. Throws as `run`, and `span-out-of-range`.
   */
  setFree(span: Span, isFree: boolean): void {
    this.#guard.requireRunning();
    regionOf(this.regions, span);
    this.#freeSpans = this.#freeSpans.filter(
      ({ region, offsetBytes, lengthBytes }) =>
        region !== span.region ||
        offsetBytes + lengthBytes <= span.offsetBytes ||
        span.offsetBytes + span.lengthBytes <= offsetBytes,
    );
    if (isFree) this.#freeSpans.push(span);
  }

  /** It tells at once what its program said so far. */
  readonly freePageHint: (tell: FreeSpanListener) => FreePageRequest = (tell) => {
    this.#guard.requirePaused();
    for (const span of this.#freeSpans) tell(span);
    return { done: Promise.resolve(), end: () => {} };
  };

  /** Rings its doorbell, as the machine's program would between two steps. Throws as `run`. */
  ring(word: number): void {
    this.#guard.requireRunning();
    if (this.doorbell.ring(word)) answerAtRest(this, this.doorbell);
  }

  async pause(): Promise<void> {
    this.#guard.pause();
  }

  async resume(): Promise<void> {
    this.#guard.resume();
  }

  pauseNow(): void {
    this.#guard.pause();
  }

  resumeNow(): void {
    this.#guard.resume();
  }

  takeDirty(): DirtyTake {
    this.#guard.requirePaused();
    if (this.#marks !== undefined) return this.#marks.take();
    return { pages: this.regions.map(() => null), commit: () => {}, putBack: () => {} };
  }

  openBarrier(options: BarrierOptions): Barrier {
    this.#guard.requireOpen();
    if (this.traits.tracking !== 'barrier') throw new VitrineError('unsupported', { missing: 'a barrier' });
    if (this.#barrier !== undefined) {
      throw new VitrineError('wrong-state', { actual: 'a barrier is open', required: 'none' });
    }
    const view = (region: number): Uint8Array => {
      this.#guard.requireOpen();
      return this.#memory[region]!;
    };
    const onClose = (): void => {
      this.#barrier = undefined;
    };
    this.#barrier = new PageBarrier({ regions: this.regions, view, onClose }, options);
    return this.#barrier;
  }

  view(region: number): Uint8Array | undefined {
    this.#guard.requirePaused();
    return this.#memory[region];
  }

  readPages(span: Span, into: Uint8Array): void {
    this.#guard.requirePaused();
    const region = regionOf(this.regions, span);
    into.set(this.#bytes(region).subarray(span.offsetBytes, span.offsetBytes + span.lengthBytes));
  }

  writePages(span: Span, from: Uint8Array): void {
    this.#guard.requirePaused();
    this.#put(span, from);
  }

  saveDevices(): DeviceRecord[] {
    this.#guard.requirePaused();
    const bytes = new Uint8Array(RECORD_BYTES);
    const fields = new DataView(bytes.buffer);
    fields.setUint32(0, RECORD_MAGIC, true);
    fields.setUint32(4, this.#random, true);
    fields.setUint32(8, this.#checksum, true);
    fields.setBigUint64(12, BigInt(this.#steps), true);
    return [{ name: RECORD_NAME, version: RECORD_VERSION, bytes }];
  }

  loadDevices(records: readonly DeviceRecord[]): void {
    this.#guard.requirePaused();
    const [record] = records;
    if (records.length !== 1 || record?.name !== RECORD_NAME) {
      throw new VitrineError('guest-state-invalid', { records: records.map((one) => one.name) });
    }
    const { bytes, version } = record;
    if (version !== RECORD_VERSION || bytes.length !== RECORD_BYTES) {
      throw new VitrineError('guest-state-invalid', {
        record: RECORD_NAME,
        version,
        lengthBytes: bytes.length,
      });
    }
    const fields = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const random = fields.getUint32(4, true);
    const steps = fields.getBigUint64(12, true);
    if (fields.getUint32(0, true) !== RECORD_MAGIC || random === 0 || steps > Number.MAX_SAFE_INTEGER) {
      throw new VitrineError('guest-state-invalid', { record: RECORD_NAME });
    }
    this.#random = random;
    this.#checksum = fields.getUint32(8, true);
    this.#steps = Number(steps);
    this.doorbell.restored();
  }

  async close(): Promise<void> {
    this.#guard.close();
  }

  /** One step: choose a byte, fold it into the checksum, change it. */
  #step(): void {
    this.#steps++;
    const region = this.regions[this.#draw() % this.regions.length];
    if (region === undefined || region.sizeBytes === 0) return;
    // Three of four writes fall into one sixteenth of the region, as those of a program do.
    const reach = this.#draw() % 4 === 0 ? region.sizeBytes : Math.ceil(region.sizeBytes / 16);
    const at = this.#draw() % reach;
    const memory = this.#bytes(region);
    this.#checksum = (Math.imul(this.#checksum ^ memory[at]!, 0x0100_0193) + at) >>> 0;
    const span = { region: region.id, offsetBytes: at, lengthBytes: 1 };
    this.#barrier?.beforeWrite(span);
    memory[at] = this.#draw() ^ this.#checksum;
    this.#marks?.mark(span);
  }

  /** The next number of xorshift32, which never comes to 0. */
  #draw(): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x >>> 0;
    return this.#random;
  }

  #put(span: Span, bytes: Uint8Array): void {
    const region = regionOf(this.regions, span);
    this.#barrier?.beforeWrite(span);
    this.#bytes(region).set(bytes.subarray(0, span.lengthBytes), span.offsetBytes);
    this.#marks?.mark(span);
  }

  #bytes(region: Region): Uint8Array {
    // Safe: ids are indices, and there is one array a region.
    return this.#memory[region.id]!;
  }
}

/** What shapes memory, flat. */
function configOf(regions: readonly Region[]): Record<string, ConfigValue> {
  const config: Record<string, ConfigValue> = {};
  for (const { name, sizeBytes, pageBytes } of regions) {
    config[`${name}.sizeBytes`] = sizeBytes;
    config[`${name}.pageBytes`] = pageBytes;
  }
  return config;
}
