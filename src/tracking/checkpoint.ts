// A checkpoint: a point of a guest to which it goes back thousands of times a second. Only pages written since are looked
// at, only those that differ are written; nothing is hashed or encoded, and no buffer is allocated for a reset.
//
//   the point's page = kept page, if the mirror moved on since, else the mirror's page
//
// So a checkpoint needs no second copy of RAM: the tracker's mirror is its shadow, and before a save or a restore gives
// the mirror another content, the page is kept here. The tracker tells what the guest wrote (`suspect`) and what the
// mirror loses (`keep`), pauses the guest, and allows one call at a time.
//
// A reset is all or nothing: pages first, with what they replaced put aside, then the devices, which a guest refuses
// without changing them; when anything fails, the guest gets its pages back.

import { assert } from '../base/assert.ts';
import { copyBytes, equalBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { MIB } from '../base/limits.ts';
import type { DeviceRecord, Guest } from '../guest/guest.ts';
import type { PageSet } from '../memory/page-set.ts';
import type { Region } from '../memory/region.ts';
import type { Span } from '../memory/span.ts';
import type { Mirror } from './mirror.ts';
import { SuspectPages } from './suspect-pages.ts';
import type { ResetReport } from './tracker.ts';

/** More put aside than this is given back after the reset: it was an unusual one. */
const ASIDE_BYTES = 16 * MIB;

/** Hears of a page that differed; `told` are the suspects of its region, null for all. */
export type DifferenceListener = (region: number, page: number, told: PageSet | null) => void;

/** A reset waits where the guest answers with a promise; `runWaiting` and `runNow` of the checkpoint drive it. */
export type ResetSteps = Generator<Promise<unknown>, ResetReport>;

export class Checkpoint {
  readonly #guest: Guest;
  readonly #mirror: Mirror;
  readonly #suspects: SuspectPages;
  /** By region: pages of the point that the mirror no longer holds. */
  readonly #kept: readonly Map<number, Uint8Array>[];
  readonly #aside = new Aside();
  #devices: readonly DeviceRecord[] = [];

  constructor(guest: Guest, mirror: Mirror) {
    this.#guest = guest;
    this.#mirror = mirror;
    this.#suspects = new SuspectPages(guest.regions);
    this.#kept = guest.regions.map(() => new Map());
  }

  /** The point is now. The guest is paused, and the mirror equal to it. */
  moveHere(devices: readonly DeviceRecord[]): void {
    this.#devices = devices;
    for (const kept of this.#kept) kept.clear();
    this.#suspects.clear();
  }

  /** The guest, or somebody in its place, may have written these pages. */
  suspect(pages: readonly (PageSet | null)[]): void {
    this.#suspects.add(pages);
  }

  /** The mirror is about to take another content for this page; `bytes` is what it holds. */
  keep(region: number, page: number, bytes: Uint8Array): void {
    const kept = this.#kept[region]!;
    if (!kept.has(page)) kept.set(page, copyBytes(bytes));
  }

  /**
   * Brings the paused guest to the point; afterwards no page is suspect. With a listener it looks at all pages, not at
   * suspects alone.
   *
   * On failure guest and bookkeeping are as before, and the guest's own error is thrown.
   */
  *reset(listener?: DifferenceListener): ResetSteps {
    let pagesCompared = 0;
    let pagesWritten = 0;
    try {
      for (const region of this.#guest.regions) {
        const candidates = listener === undefined ? this.#suspects.of(region.id) : null;
        for (const run of this.#mirror.chunks(region.id, candidates)) {
          const staged = this.#mirror.stageRun(this.#guest, region.id, run.first, run.count);
          if (staged !== undefined) yield staged;
          pagesCompared += run.count;
          if (run.count > 1 || this.#kept[region.id]!.size > 0) {
            pagesWritten += yield* this.#writeDiffering(region, run.first, run.count);
          } else if (this.#mirror.stagedDifferences(region.id, run.first, 1).length > 0) {
            // Pages at random places, most of those that a machine writes: without a generator for each.
            const writing = this.#write(region, run.first, 0, this.#mirror.page(region.id, run.first));
            if (writing !== undefined) yield writing;
            pagesWritten++;
          }
        }
      }
      const loaded = this.#guest.loadDevices(this.#devices);
      if (loaded !== undefined) yield loaded;
      if (listener !== undefined) this.#tellDifferences(listener);
    } catch (error) {
      for (const { span, bytes } of this.#aside.newestFirst()) {
        try {
          const written = this.#guest.writePages(span, bytes);
          if (written !== undefined) yield written;
        } catch {
          // A guest that fails at one page again still gets the others; the first error is the one that counts.
        }
      }
      throw error;
    } finally {
      this.#aside.clear();
    }
    this.#suspects.clear();
    return { pagesWritten, pagesCompared };
  }

  /** Drives a reset, waiting wherever the guest does, while the guest is paused for it. */
  async runWaiting(steps: ResetSteps): Promise<ResetReport> {
    const guest = this.#guest;
    await guest.pause({ marks: true });
    try {
      let step = steps.next();
      while (!step.done) {
        let failure: { readonly cause: unknown } | undefined;
        try {
          await step.value;
        } catch (cause) {
          failure = { cause };
        }
        step = failure === undefined ? steps.next() : steps.throw(failure.cause);
      }
      return step.value;
    } finally {
      await guest.resume();
    }
  }

  /**
   * As `runWaiting`, at once. Throws `unsupported` when the guest cannot rest at once, `guest-not-quiescent` when it cannot
   * now.
   */
  runNow(steps: ResetSteps): ResetReport {
    const guest = this.#guest;
    if (guest.pauseNow === undefined || guest.resumeNow === undefined) {
      throw new VitrineError('unsupported', { missing: 'pauseNow', guest: guest.machine.kind });
    }
    guest.pauseNow();
    try {
      const step = steps.next();
      assert(step.done === true, 'a guest with pauseNow answers at once');
      return step.value;
    } finally {
      guest.resumeNow();
    }
  }

  #tellDifferences(listener: DifferenceListener): void {
    for (const { region, offsetBytes, lengthBytes } of this.#aside.spans) {
      const { pageBytes } = this.#guest.regions[region]!;
      const told = this.#suspects.of(region);
      for (let at = 0; at < lengthBytes; at += pageBytes)
        listener(region, (offsetBytes + at) / pageBytes, told);
    }
  }

  /** Of the staged run, writes the pages that differ from the point's; returns how many. */
  *#writeDiffering(region: Region, first: number, count: number): Generator<Promise<unknown>, number> {
    const kept = this.#kept[region.id]!;
    const differing = this.#mirror.stagedDifferences(region.id, first, count);
    let written = 0;
    for (let i = 0; i < differing.length; ) {
      const index = differing[i]!;
      let length = 1;
      // Kept pages are written by themselves below; they end a run.
      if (kept.size > 0 && kept.has(first + index)) {
        i++;
        continue;
      }
      while (differing[i + length] === index + length && !kept.has(first + index + length)) length++;
      const bytes = this.#mirror.run(region.id, first + index, length);
      const writing = this.#write(region, first, index, bytes);
      if (writing !== undefined) yield writing;
      written += length;
      i += length;
    }
    if (kept.size === 0) return written;
    for (let index = 0; index < count; index++) {
      const bytes = kept.get(first + index);
      if (bytes === undefined || equalBytes(bytes, this.#staged(region, first, index, bytes.length)))
        continue;
      const writing = this.#write(region, first, index, bytes);
      if (writing !== undefined) yield writing;
      written++;
    }
    return written;
  }

  /** Puts pages of the point into the guest, from page `index` of the staged run on. */
  #write(region: Region, first: number, index: number, bytes: Uint8Array): undefined | Promise<void> {
    const offsetBytes = (first + index) * region.pageBytes;
    const lengthBytes = Math.min(bytes.length, region.sizeBytes - offsetBytes);
    const span = { region: region.id, offsetBytes, lengthBytes };
    this.#aside.put(span, this.#staged(region, first, index, lengthBytes));
    const exact = lengthBytes === bytes.length ? bytes : bytes.subarray(0, lengthBytes);
    return this.#guest.writePages(span, exact) ?? undefined;
  }

  #staged(region: Region, first: number, index: number, lengthBytes: number): Uint8Array {
    return this.#mirror.staged(region.id, first, index * region.pageBytes, lengthBytes);
  }
}

/** Bytes put aside in one buffer that is used again. */
class Aside {
  #bytes = new Uint8Array(64 * 1024);
  #used = 0;
  readonly #spans: Span[] = [];

  get spans(): readonly Span[] {
    return this.#spans;
  }

  put(span: Span, bytes: Uint8Array): void {
    const end = this.#used + bytes.length;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(2 * end);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#used);
    this.#used = end;
    this.#spans.push(span);
  }

  *newestFirst(): Generator<{ readonly span: Span; readonly bytes: Uint8Array }> {
    let end = this.#used;
    for (const span of this.#spans.reverse()) {
      end -= span.lengthBytes;
      yield { span, bytes: this.#bytes.subarray(end, end + span.lengthBytes) };
    }
  }

  clear(): void {
    this.#used = 0;
    this.#spans.length = 0;
    if (this.#bytes.length > ASIDE_BYTES) this.#bytes = new Uint8Array(64 * 1024);
  }
}
