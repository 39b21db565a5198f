// The Guest port: all that Vitrine needs to know of a machine. Past it nothing knows which emulator it serves.
//
// To add an emulator, copy `flat.ts`, the smallest one, and run `testing/guest-conformance` against it.

import type { OwnedBytes } from '../base/bytes.ts';
import type { PageSet } from '../memory/page-set.ts';
import type { Region } from '../memory/region.ts';
import type { SharedMemory } from '../memory/shared-memory.ts';
import type { Span } from '../memory/span.ts';
import type { Barrier, BarrierOptions } from './barrier.ts';
import type { Doorbell } from './doorbell.ts';
import type { FreePageRequest, FreeSpanListener } from './free-pages.ts';
import type { Replay } from './replay.ts';

/** One value of a machine's configuration. */
export type ConfigValue = string | number | boolean;

/** What a machine is. A snapshot goes only into a machine whose description is equal. */
export interface MachineDescription {
  /** The adapter: `flat`, `wasm-instance`, `v86`. */
  readonly kind: string;
  /** The emulator's own exact version: device state is private to it. */
  readonly version: string;
  /** `x86`, `wasm32`, `none` … */
  readonly architecture: string;
  /** Everything that shapes memory or devices, flat. On a mismatch the differing field is named. */
  readonly config: Readonly<Record<string, ConfigValue>>;
}

/**
 * Hears of one page of a region; the bytes are valid during the call only, and less than a page at a region's end. `isZero` where
 * it is known that they are zeros. With a promise it asks for no more before that settles, which never rejects; what is at hand
 * already may still be told.
 */
export type PageTold = (
  region: number,
  page: number,
  bytes: Uint8Array,
  isZero?: boolean,
) => void | Promise<void>;

/** What belongs to an instant beside its pages. */
export interface StreamedInstant {
  readonly devices: readonly DeviceRecord[];
  /** How long the guest rested. */
  readonly pauseMs: number;
}

/** What a guest can do, so that the engine never has to try. */
export interface GuestTraits {
  /** How it knows what was written: see the tracking folder. With `barrier` it marks too, and has `openBarrier`. */
  readonly tracking: 'none' | 'marks' | 'barrier';
  /** Why it is none, for a guest of a kind that could tell; absent otherwise. */
  readonly trackingReason?: string;
  /** Where its marks come from, for people, and why they said nothing the last time; absent where that goes without saying. */
  readonly trackingSource?: string;
  /**
   * Marks that were put in from outside: so many scans that find changes compare all pages with what was marked, before a
   * tracker trusts it. Absent where the guest's own author marks.
   */
  readonly auditScans?: number;
  /** Its memory, or its RAM at least, can be read by other workers while it runs: see `Guest.shared`. */
  readonly sharedMemory: boolean;
  /** Why it is not, for a guest of a kind that could share it; absent otherwise. */
  readonly sharedMemoryReason?: string;
  /** Whether `readTorn` gives what memory holds at the moment, and not what it held at the last rest; so it does when left out. */
  readonly tornIsNow?: boolean;
}

/** Opaque state of one device, or of all that is not memory. */
export interface DeviceRecord {
  /** Stable and unique in the machine: `state`, `vga.planes`. Records that rarely change stand alone. */
  readonly name: string;
  /** The adapter's own version of these bytes. */
  readonly version: number;
  /** Never written to once it was given, by neither side: what did not change may be the same array as last time. */
  readonly bytes: OwnedBytes;
}

/**
 * Pages written since the last take, taken and not cleared: `commit` when they are safe, `putBack` when not.
 *
 * One set a region, in region order; null where the guest cannot tell, so that every page may have been written.
 */
export interface DirtyTake {
  readonly pages: readonly (PageSet | null)[];
  commit(): void;
  putBack(): void;
}

/**
 * What will be asked of a guest in a pause, so that one in another worker sends it along with its answer. One that was not
 * asked for marks there answers `takeDirty` with null: every page may have been written.
 */
export interface PauseNeeds {
  readonly marks?: boolean;
  readonly devices?: boolean;
}

export interface Guest {
  readonly machine: MachineDescription;
  /** In id order; fixed for the life of the guest. */
  readonly regions: readonly Region[];
  readonly traits: GuestTraits;
  /** Where its shared regions lie, for readers in other workers; there when `traits.sharedMemory` is. */
  readonly shared?: SharedMemory | undefined;
  /** Where its own programs ask to be saved or put back; undefined where they cannot. */
  readonly doorbell?: Doorbell | undefined;

  /** There where the guest does the same again from the same state. */
  readonly replay?: Replay | undefined;

  /**
   * Brings the guest to rest at a point where its memory and devices are consistent.
   *
   * Pauses nest: it runs again after as many `resume` calls. A guest that its user had stopped stays stopped.
   * Throws `guest-not-quiescent` when it cannot rest now, `guest-closed`, `guest-failed`.
   */
  pause(needs?: PauseNeeds): Promise<void>;
  resume(): Promise<void>;

  /** Whether it runs when nobody pauses it: not after its user stopped it. Left out where that cannot be told. */
  isRunning?(): Promise<boolean>;

  /**
   * As `pause` and `resume`, at once: for loops in the guest's own thread that go back to a checkpoint thousands of times
   * a second. A guest that has them answers every call but `pause`, `resume` and `close` at once, too.
   *
   * `pauseNow` throws `guest-not-quiescent` where `pause` would wait; the guest then runs on.
   */
  pauseNow?(): void;
  resumeNow?(): void;

  /** What was written since the last take. Only while paused. */
  takeDirty(): DirtyTake;

  /**
   * A write barrier, not armed yet, for a capture that does not stop the guest. At any time; what it needs of memory is taken
   * here, since a pause would grow with it.
   *
   * Throws `wrong-state` while another one is open, `guest-closed`.
   */
  openBarrier?(options: BarrierOptions): Barrier;

  /**
   * Tells an instant of the guest while it runs, for guests whose memory another process holds and can send: each page at
   * least once, in any order, the last time as it was at the instant. What was told before a failure is of no instant.
   *
   * With `suspects`, a set a region, null for all of one, a guest whose marks tell what it wrote leaves out pages that are neither
   * in there nor marked: those are as they were when its marks were taken.
   *
   * Resolves when all is told and the guest runs on, or with why it cannot be done now. Throws `aborted`, `guest-failed`,
   * `guest-lost`; the guest then runs on.
   */
  streamInstant?(
    told: PageTold,
    signal?: AbortSignal,
    suspects?: readonly (PageSet | null)[],
  ): Promise<StreamedInstant | { readonly reason: string }>;

  /**
   * As `readPages`, of a guest that may be running: bytes of different instants. There where memory lies outside this thread
   * and looking at it costs the guest nothing.
   */
  readTorn?(span: Span, into: Uint8Array): void | Promise<void>;

  /**
   * The bytes of a region in place, where they lie in one array of this thread; undefined elsewhere.
   * Valid until the next await; only while paused.
   */
  view(region: number): Uint8Array | undefined;

  /** Copies a span into `into`, which has the span's length. Only while paused. Throws `span-out-of-range`. */
  readPages(span: Span, into: Uint8Array): void | Promise<void>;

  /**
   * Puts bytes into the guest and makes it forget what it had derived from the old ones (compiled code, caches).
   * Only while paused. Throws `span-out-of-range`.
   */
  writePages(span: Span, from: Uint8Array): void | Promise<void>;

  /** State that is not in a region. Only while paused. */
  saveDevices(): DeviceRecord[] | Promise<DeviceRecord[]>;

  /**
   * Puts device state back. Memory was written before. Only while paused.
   *
   * Validates before it changes anything: throws `guest-state-invalid` and leaves the devices as they were.
   */
  loadDevices(records: readonly DeviceRecord[]): void | Promise<void>;

  /**
   * Asks the guest which of its pages are free; it tells as it runs on, or never. What it says is not trusted. Only while
   * paused; a question under way is ended first.
   */
  readonly freePageHint?: ((tell: FreeSpanListener) => FreePageRequest) | undefined;

  /** Ends the guest. May be called again. */
  close(): Promise<void>;
}
