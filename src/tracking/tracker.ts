// The Tracker port: one guest, seen from the engine. It knows what changed since a base, freezes one instant of the
// guest in its mirror, and puts another instant back.
//
// The interface is flat and all its values are cloneable, so that a tracker beside its guest in one worker serves
// an engine in another one. It is a state machine:
//
//            capture                    beginRestore
//   idle ───────────────▶ captured   idle ─────────▶ restoring ──stagePages…──▶ restoring
//    ▲  commit / putBack      │       ▲  applyRestore / abandonRestore             │
//    └────────────────────────┘       └────────────────────────────────────────────┘
//
// A call at another time throws `wrong-state`. Beside that there is at most one checkpoint, a point to go back to quickly
// while idle. It is no snapshot: it dies with the tracker, and saves before and after it know nothing of it.

import type { OwnedBytes } from '../base/bytes.ts';
import type { DeviceRecord, GuestTraits, MachineDescription } from '../guest/guest.ts';
import type { Region } from '../memory/region.ts';
import type { Span } from '../memory/span.ts';
import type { TrackerDoorbell } from './tracker-doorbell.ts';

/** What a tracker serves. */
export interface TrackerDescription {
  readonly machine: MachineDescription;
  readonly regions: readonly Region[];
  readonly traits: GuestTraits;
  /** How it finds changed pages. */
  readonly tier: 'scan' | 'marks' | 'barrier';
  /** Why it scans, where more was to be hoped for; of marks, whose they are, where that is to be told. */
  readonly tierReason?: string;
  /** There where it keeps no checkpoint itself: one is a snapshot then, which the engine stores and restores. */
  readonly checkpoints?: 'stored';
}

/** How a capture is to let the guest run on. */
export interface LiveOptions {
  /**
   * Room for old pages that wait for the mirror: what the guest's memory may grow by. With 0 the guest waits at each first
   * write to a page that is not in the mirror yet, with as much as RAM it never does. 16 MiB when left out.
   */
  readonly bufferBytes?: number;
}

/** What a capture of a running guest cost it. */
export interface LiveReport {
  /**
   * `barrier` where writes of the guest waited for the old page to be copied; `stream` where the process that holds the guest
   * sent its memory, what was written meanwhile again; `stopped` where it had to rest for the whole of it, as ever.
   */
  readonly mode: 'barrier' | 'stream' | 'stopped';
  /** Why it was stopped. */
  readonly reason?: string;
  readonly pauseMs: number;
  /**
   * What the guest waited for beside the pause, at most at a time and in all: slices of its thread, and a full ring. 0 for a
   * `stream`, whose process does not tell how long its guest waited for a page.
   */
  readonly longestStallMs: number;
  readonly totalStallMs: number;
  /** Pages that the guest wrote before they were in the mirror. */
  readonly pagesCopiedAside: number;
  /** Of these, those that found no room in the ring: the guest brought them to the mirror itself. */
  readonly spilled: number;
  readonly peakRingBytes: number;
  /** Room of the ring: less than asked for where memory was refused or cannot be used. */
  readonly ringBytes: number;
}

export interface CaptureOptions {
  /** Tell changes from zeros instead of the last committed capture. */
  readonly full: boolean;
  /** Let the guest run on, where it can be: the report says whether. */
  readonly live?: LiveOptions;
  /**
   * Ask the guest which pages are free, where it can tell, and take those that it did not write since as zeros. An answer is
   * waited for a moment, only where that is less than storing what was written.
   */
  readonly skipFree?: boolean;
  /**
   * Any page will be read, not the changed ones alone: a tracker without a copy of all memory lets the guest rest until `commit`
   * or `putBack`.
   */
  readonly hold?: boolean;
}

export interface AheadOptions {
  readonly full: boolean;
  /** The capture is to be a live one. */
  readonly live?: boolean;
}

/** One instant of the guest. Its pages are read from the mirror with `readPages` until `commit` or `putBack`. */
export interface CapturedInstant {
  /** A bitmap a region (the layout of `PageSet`): pages that may differ from the last committed capture. */
  readonly changed: readonly Uint32Array<ArrayBuffer>[];
  readonly devices: readonly DeviceRecord[];
  readonly pauseMs: number;
  /** Pages looked at while the guest was paused. */
  readonly pagesScanned: number;
  /** How many captures and restores were committed before: it is told from the last of them. */
  readonly epoch: number;
  /** Where a live capture was asked for. */
  readonly live?: LiveReport;
  /** Pages that hold something in the guest and are zeros in this instant, for the guest said that they are free. */
  readonly pagesSkippedFree?: number;
}

/** Pages gathered from the mirror, in the order asked for. */
export interface GatheredPages {
  readonly bytes: OwnedBytes;
  /** What these pages held at the last committed capture, for deltas, where it was kept: page `i` of it stands for
   * `previousOf[i]`, an index into the list asked for. */
  readonly previous: OwnedBytes;
  readonly previousOf: Uint32Array<ArrayBuffer>;
  /** How long the guest has rested for this instant by now, where that may be longer than when it was captured. */
  readonly pauseMs?: number;
}

/** Outcome of a restore. */
export interface AppliedRestore {
  readonly pauseMs: number;
  /** Pages that differed and were written. */
  readonly pagesWritten: number;
}

/** Outcome of setting a checkpoint. */
export interface CheckpointReport {
  readonly pauseMs: number;
  /** Pages looked at while the guest was paused. */
  readonly pagesScanned: number;
}

/** Outcome of a reset. */
export interface ResetReport {
  /** Pages that differed and were written. */
  readonly pagesWritten: number;
  /** Pages looked at: those marked since the last reset, or all. */
  readonly pagesCompared: number;
}

export interface PeekOptions {
  /**
   * `instant`, when left out: all bytes are of one instant, for which the guest rests. `torn` allows bytes of different
   * instants, each as it was at some time during the call; a guest in shared memory then does not rest.
   */
  readonly consistency?: 'instant' | 'torn';
}

/** As a caller in the tracker's own thread may give them. */
export interface LocalPeekOptions extends PeekOptions {
  /** Memory for the bytes of a span; it may hold anything before. New memory when left out. */
  readonly allocate?: (lengthBytes: number) => OwnedBytes;
}

export interface PeekedBytes {
  /** One array a span. */
  readonly bytes: OwnedBytes[];
  readonly pauseMs: number;
  /** What they are: `instant` too where torn bytes were allowed and the memory is not shared. */
  readonly consistency: 'instant' | 'torn';
}

/** Where captured pages lie: page `p` of their region from byte `atBytes + p * pageBytes` of memory that other threads see. */
export interface SharedPages {
  readonly buffer: SharedArrayBuffer;
  readonly atBytes: number;
}

/** A file that other threads read, whose bytes may change meanwhile: page `p` of a region lies from byte `atBytes + p * pageBytes` on. */
export interface PageFile {
  readonly path: string;
  readonly atBytes: number;
}

export interface Tracker {
  /** Its guest's doorbell; nobody serves at first. */
  readonly doorbell: TrackerDoorbell;

  describe(): Promise<TrackerDescription>;

  /**
   * Freezes one instant: the guest rests only while changed pages are found and copied aside, or with `live` only while
   * its devices are saved, where it has a barrier. On failure the guest runs on and no page is forgotten.
   */
  capture(options: CaptureOptions): Promise<CapturedInstant>;

  /**
   * For trackers that hold no copy of memory: what the running guest holds in pages that a capture would have to store, each as it
   * is read. What is stored of it, told by `storedAhead`, the next capture need not hand out, and a guest that wrote much rests
   * for little. Asked again when that is stored, until it answers null: nothing more is worth it. With `live` that is when all of
   * an instant has been told but what `capture` then hands out. Ends with `capture` or `putBack`; `cancelCapture` gives it up.
   */
  captureAhead?(options: AheadOptions): Promise<CapturedInstant | null>;

  /** These pages were stored with the contents of these digests, 32 bytes each, zeros for a page of zeros. */
  storedAhead?(region: number, pages: Uint32Array, digests: Uint8Array): Promise<void>;

  /** Gives up a live capture under way, which then throws `aborted`. Otherwise it does nothing. */
  cancelCapture(): Promise<void>;

  /** Pages of the captured instant. */
  readPages(region: number, pages: Uint32Array): Promise<GatheredPages>;

  /**
   * Where pages of the captured instant lie, which stay until `commit` or `putBack`. Undefined where other threads do not see
   * them, and where `readPages` has more to say of them than their bytes there.
   */
  sharedPages?(region: number, pages: Uint32Array): SharedPages | undefined;

  /** Where pages that `captureAhead` told can be read in place of `readPages`; undefined of an instant, and where there is no such file. */
  fileAhead?(region: number): PageFile | undefined;

  /** The captured instant is safe: later captures are told from it. */
  commit(): Promise<void>;

  /** It is not: its pages count as changed in the next capture too. */
  putBack(): Promise<void>;

  /** Ranges of the live guest. Throws `span-out-of-range`. */
  peek(spans: readonly Span[], options?: LocalPeekOptions): Promise<PeekedBytes>;

  /**
   * Stops the guest and finds what changed since the last committed capture; answers as `capture` does, without
   * devices. The guest stays paused until `applyRestore` or `abandonRestore`.
   */
  beginRestore(options: {
    readonly full: boolean;
  }): Promise<{ readonly changed: readonly Uint32Array<ArrayBuffer>[] }>;

  /**
   * Pages that the guest shall hold, already proven by their digest, 32 bytes each. The guest does not run before `applyRestore`
   * or `abandonRestore`, and does not see them then.
   */
  stagePages(region: number, pages: Uint32Array, bytes: OwnedBytes, digests?: Uint8Array): Promise<void>;

  /** Pages that shall hold zeros. */
  stageZeros(region: number, pages: Uint32Array): Promise<void>;

  /**
   * Writes the staged pages that differ, loads the devices, lets the guest run.
   *
   * All or nothing: when the guest refuses, its memory and devices are put back and it runs on as it was.
   */
  applyRestore(devices: readonly DeviceRecord[]): Promise<AppliedRestore>;

  /** Gives the restore up; the guest runs on as it was. */
  abandonRestore(): Promise<void>;

  /**
   * Makes this instant the point that `resetToCheckpoint` goes back to, in place of an earlier one.
   *
   * On failure the guest runs on, and an earlier checkpoint stays.
   */
  checkpoint(): Promise<CheckpointReport>;

  /**
   * Brings the guest to the checkpoint: writes the pages that differ, loads the devices. What it writes counts as changed
   * in the next capture, as if the guest had done it.
   *
   * All or nothing. Throws `wrong-state` without a checkpoint, and what the guest throws.
   */
  resetToCheckpoint(): Promise<ResetReport>;

  /** Forgets the checkpoint, if there is one. */
  dropCheckpoint(): Promise<void>;

  /**
   * Ends whatever an engine had begun and will not end, because it is gone: a captured instant is put back, a restore
   * given up, its serving of the doorbell ended. Waits for a call under way. At rest it does nothing.
   */
  reset(): Promise<void>;

  /** Closes the guest too. */
  close(): Promise<void>;
}
