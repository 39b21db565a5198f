// The mirror: a copy of all of a guest's regions in kernel memory, as they were at the last scan.
//
//   guest RAM ──copy 256 KiB──▶ staging ──compare──▶ bits ──copy changed pages──▶ mirror
//
// The staging area fits the processor's cache, so a scan reads guest and mirror once each and writes only what
// changed: nearly memory speed, and one copy of RAM instead of two. It starts as zeros, the state of a machine
// that was never captured. A region of any size is cut into segments, since one WebAssembly memory ends at 4 GiB.
//
// With an origin it starts as that, and takes memory for the pages alone that were needed (`mirror-origin.ts`).
//
// It knows nothing of pausing, bases or snapshots: that is the tracker's.

import { assert } from '../base/assert.ts';
import { MIB } from '../base/limits.ts';
import type { Guest } from '../guest/guest.ts';
import type { Address, Kernels } from '../kernel/kernels.ts';
import { type PageRun, PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import { type MirrorOrigin, OriginPages } from './mirror-origin.ts';
import {
  addressIn,
  chunkPagesOf,
  isShared,
  isTouched,
  openSegment,
  reserveWorkArea,
  runsIn,
  type Segment,
  touch,
} from './mirror-segment.ts';
import type { SharedPages } from './tracker.ts';

/** Bytes of mirror in one kernel memory; the rest of the 4 GiB is left to staging and rounding. */
const SEGMENT_BYTES = 1024 * MIB;

const NONE = new Uint32Array(0);
const ONLY_FIRST = Uint32Array.of(0);

/** Sees each changed page before the mirror takes its new content. The bytes are valid during the call only. */
export type ChangeListener = (region: number, page: number, oldBytes: Uint8Array) => void;

/** Where a scan reads pages from: a guest at rest. */
export type PageSource = Pick<Guest, 'view' | 'readPages'>;

export class Mirror {
  readonly regions: readonly Region[];
  readonly #segments: readonly (readonly Segment[])[];

  /** Where it began as something else than zeros. */
  readonly #origin: OriginPages | undefined;

  private constructor(
    regions: readonly Region[],
    segments: readonly (readonly Segment[])[],
    origin?: OriginPages,
  ) {
    this.regions = regions;
    this.#segments = segments;
    this.#origin = origin;
  }

  /** Nothing is read of it any more. */
  close(): void {
    this.#origin?.close();
  }

  /** Whether it began as what the guest was made of. */
  get hasOrigin(): boolean {
    return this.#origin !== undefined;
  }

  /**
   * A mirror of `regions`: of `origin`, or all zeros.
   *
   * `openKernels` gives a kernel memory of its own at each call. Throws `memory-exhausted`.
   */
  static async open(
    regions: readonly Region[],
    openKernels: () => Promise<Kernels>,
    origin?: MirrorOrigin,
  ): Promise<Mirror> {
    let kernels = await openKernels();
    let work = reserveWorkArea(kernels);
    let usedBytes = 0;
    const segments: Segment[][] = [];
    for (const region of regions) {
      const ofRegion: Segment[] = [];
      const pageCount = pageCountOf(region);
      for (let firstPage = 0; firstPage < pageCount; ) {
        if (usedBytes >= SEGMENT_BYTES) {
          kernels = await openKernels();
          work = reserveWorkArea(kernels);
          usedBytes = 0;
        }
        const room = Math.floor((SEGMENT_BYTES - usedBytes) / region.pageBytes);
        const count = Math.min(pageCount - firstPage, Math.max(room, 1));
        ofRegion.push(openSegment(kernels, work, region, { firstPage, pageCount: count }));
        usedBytes += count * region.pageBytes;
        firstPage += count;
      }
      segments.push(ofRegion);
    }
    if (origin === undefined) return new Mirror(regions, segments);
    // Not zeros, as far as anybody knows.
    for (const { touched } of segments.flat()) touched.fill(1);
    return new Mirror(regions, segments, new OriginPages(origin, regions));
  }

  /** What it is made of, for threads that work in the same memory. */
  get segments(): readonly Segment[] {
    return this.#segments.flat();
  }

  /**
   * Makes the mirror equal to the guest in the pages of `candidates` (all when null) and adds those that differed
   * to `changed`. The guest is paused.
   *
   * When it throws half-way, `changed` tells exactly what the mirror has taken. Returns the pages looked at.
   */
  async scan(
    guest: PageSource,
    region: number,
    candidates: PageSet | null,
    changed: PageSet,
    listener?: ChangeListener,
  ): Promise<number> {
    let scanned = 0;
    for (const segment of this.#segments[region] ?? []) {
      for (const run of runsIn(segment, candidates, chunkPagesOf(segment.region))) {
        const copied = this.#copyFromGuest(guest, segment, run.first, run.count);
        if (copied !== undefined) await copied;
        this.#takeChunk(segment, run.first, run.count, changed, listener);
        scanned += run.count;
      }
    }
    return scanned;
  }

  /** As `scan`, of one run of pages. */
  async scanRun(
    guest: PageSource,
    region: number,
    run: PageRun,
    changed: PageSet,
    listener?: ChangeListener,
  ): Promise<void> {
    const end = run.first + run.count;
    for (const segment of this.#segments[region] ?? []) {
      const last = Math.min(end, segment.firstPage + segment.pageCount);
      const step = chunkPagesOf(segment.region);
      for (let first = Math.max(run.first, segment.firstPage); first < last; first += step) {
        const count = Math.min(step, last - first);
        await this.#copyFromGuest(guest, segment, first, count);
        this.#takeChunk(segment, first, count, changed, listener);
      }
    }
  }

  /**
   * As `scanRun`, of bytes that may be changing: the run, which lies in one chunk, is copied first, and then `isValid` tells
   * of each page whether the copy counts. Of a page whose copy does not, the mirror stays as it is.
   */
  takeRun(
    regionBytes: Uint8Array,
    region: number,
    { first, count }: PageRun,
    isValid: (page: number) => boolean,
    changed: PageSet,
    listener: ChangeListener,
  ): void {
    const segment = this.#segmentOf(region, first);
    const { kernels, work, region: of } = segment;
    const { pageBytes, sizeBytes } = of;
    const offsetBytes = first * pageBytes;
    const lengthBytes = Math.min(count * pageBytes, sizeBytes - offsetBytes);
    const staging = kernels.arena.bytes(work.staging, count * pageBytes);
    // The last page may be short, and so may the bytes: what a memory has not come to yet is zeros.
    const present = regionBytes.subarray(offsetBytes, offsetBytes + lengthBytes);
    if (present.length < staging.length) staging.fill(0, present.length);
    staging.set(present);
    for (let index = 0; index < count; index++) {
      if (!isValid(first + index)) staging.set(this.page(region, first + index), index * pageBytes);
    }
    this.#takeChunk(segment, first, count, changed, listener);
  }

  /** As `scanRun`, of one page whose bytes are at hand; shorter ones end with zeros. Leaves a staged run as it is. */
  takePage(
    region: number,
    page: number,
    bytes: Uint8Array,
    changed: PageSet,
    listener: ChangeListener,
  ): void {
    const segment = this.#segmentOf(region, page);
    this.#origin?.load(segment, page, 1);
    const { kernels, work, region: of } = segment;
    const taken = kernels.arena.bytes(work.changedPages, of.pageBytes);
    taken.set(bytes);
    if (bytes.length < of.pageBytes) taken.fill(0, bytes.length);
    const at = segment.at + (page - segment.firstPage) * of.pageBytes;
    if (kernels.comparePages(work.changedPages, at, of.pageBytes, 1, work.bits) === 0) return;
    touch(segment, page, 1);
    const mirrored = kernels.arena.bytes(at, of.pageBytes);
    listener(region, page, mirrored);
    changed.add(page);
    mirrored.set(taken);
  }

  /** Pages that are not all zeros. */
  nonZeroPages(region: number): PageSet {
    const pages = PageSet.all(pageCountOf(this.#regionOf(region)));
    for (const _ of this.dropZeros(region, pages));
    return pages;
  }

  /** Takes those that are all zeros out of `pages`, which are all of a region; a step a chunk. */
  *dropZeros(region: number, pages: PageSet): Generator<void> {
    for (const segment of this.#segments[region] ?? []) {
      const { kernels, region: of, firstPage, pageCount, work, touched } = segment;
      const chunkPages = chunkPagesOf(of);
      for (let page = 0; page < pageCount; page += chunkPages) {
        const count = Math.min(chunkPages, pageCount - page);
        if (touched[page / chunkPages] === 0) {
          // Memory that was never used is not even read: that alone would take room for it.
          for (let index = 0; index < count; index++) pages.delete(firstPage + page + index);
          continue;
        }
        kernels.zeroPages(this.#placeOf(segment, firstPage + page, count), of.pageBytes, count, work.bits);
        const zeros = kernels.listBits(work.bits, count, work.list);
        for (const zero of kernels.arena.words(work.list, zeros)) pages.delete(firstPage + page + zero);
        yield;
      }
    }
  }

  /** The bytes of one page in place, to be read. Valid until the mirror is used again. */
  page(region: number, page: number): Uint8Array {
    return this.run(region, page, 1);
  }

  /**
   * Where pages lie, which ascend, in memory that other threads see; undefined where it is no such memory, not all are in one, or some
   * may lie in an origin.
   */
  sharedPages(region: number, pages: Uint32Array): SharedPages | undefined {
    if (this.#origin !== undefined) return undefined;
    const [first = 0, last = first] = [pages[0], pages.at(-1)];
    const { kernels, region: of, at, firstPage, pageCount } = this.#segmentOf(region, first);
    if (!isShared(kernels) || last >= firstPage + pageCount) return undefined;
    // Safe: that is what was asked for.
    const buffer = kernels.arena.memory.buffer as SharedArrayBuffer;
    return { buffer, atBytes: at - firstPage * of.pageBytes };
  }

  /** Puts a page into the mirror that the guest does not hold yet. */
  write(region: number, page: number, bytes: Uint8Array): void {
    touch(this.#segmentOf(region, page), page, 1);
    this.#origin?.drop(region, page, 1);
    this.page(region, page).set(bytes);
  }

  /** As `write`, of zeros. */
  writeZeros(region: number, page: number): void {
    this.#origin?.drop(region, page, 1);
    this.page(region, page).fill(0);
  }

  /** The bytes of `count` pages from `first`, all of one chunk, in place, to be read. Valid until the mirror is used again. */
  run(region: number, first: number, count: number): Uint8Array {
    const segment = this.#segmentOf(region, first);
    const { kernels, region: of } = segment;
    return kernels.arena.bytes(this.#placeOf(segment, first, count), count * of.pageBytes);
  }

  /**
   * Which of `count` pages from `first` differ between guest and mirror, without changing either; the run lies
   * in one chunk. The guest is paused. Calls `onDifference` with the guest's bytes, valid during the call only.
   */
  async compareRun(
    guest: PageSource,
    region: number,
    first: number,
    count: number,
    onDifference: (page: number, guestBytes: Uint8Array) => void,
  ): Promise<void> {
    await this.stageRun(guest, region, first, count);
    const { kernels, region: of, work } = this.#segmentOf(region, first);
    for (const index of this.stagedDifferences(region, first, count).slice()) {
      onDifference(first + index, kernels.arena.bytes(work.staging + index * of.pageBytes, of.pageBytes));
    }
  }

  /** Copies a run of guest pages, which lies in one chunk, beside the mirror. The guest is paused. */
  stageRun(guest: PageSource, region: number, first: number, count: number): undefined | Promise<void> {
    return this.#copyFromGuest(guest, this.#segmentOf(region, first), first, count);
  }

  /** Which pages of the run staged last differ from the mirror's, counted from `first`. Valid until the next run. */
  stagedDifferences(region: number, first: number, count: number): Uint32Array {
    const segment = this.#segmentOf(region, first);
    this.#origin?.load(segment, first, count);
    const { kernels, region: of, work, at, firstPage } = segment;
    const mirrored = at + (first - firstPage) * of.pageBytes;
    const differing = kernels.comparePages(work.staging, mirrored, of.pageBytes, count, work.bits);
    // Pages at random places come one by one: no list is made of them.
    if (differing === 0) return NONE;
    if (count === 1) return ONLY_FIRST;
    kernels.listBits(work.bits, count, work.list);
    return kernels.arena.words(work.list, differing);
  }

  /** Bytes of the run staged last, whose first page is `first`. Valid until the next run. */
  staged(region: number, first: number, offsetBytes: number, lengthBytes: number): Uint8Array {
    const { kernels, work } = this.#segmentOf(region, first);
    return kernels.arena.bytes(work.staging + offsetBytes, lengthBytes);
  }

  /** Runs of `pages` (all when null) that `compareRun` and `stageRun` take. */
  *chunks(region: number, pages: PageSet | null): Generator<{ first: number; count: number }> {
    for (const segment of this.#segments[region] ?? []) {
      yield* runsIn(segment, pages, chunkPagesOf(segment.region));
    }
  }

  /** Copies guest pages to staging, the rest of a partly used last page as zeros. Synchronous where it can be. */
  #copyFromGuest(
    guest: PageSource,
    segment: Segment,
    first: number,
    count: number,
  ): undefined | Promise<void> {
    const { kernels, region, work } = segment;
    const offsetBytes = first * region.pageBytes;
    const lengthBytes = Math.min(count * region.pageBytes, region.sizeBytes - offsetBytes);
    const staging = kernels.arena.bytes(work.staging, count * region.pageBytes);
    if (lengthBytes < staging.length) staging.fill(0, lengthBytes);
    const view = guest.view(region.id);
    if (view !== undefined) {
      staging.set(view.subarray(offsetBytes, offsetBytes + lengthBytes));
      return undefined;
    }
    const span = { region: region.id, offsetBytes, lengthBytes };
    return guest.readPages(span, staging.subarray(0, lengthBytes)) ?? undefined;
  }

  #takeChunk(
    segment: Segment,
    first: number,
    count: number,
    changed: PageSet,
    listener: ChangeListener | undefined,
  ): void {
    this.#origin?.load(segment, first, count);
    const { kernels, region, work } = segment;
    // Zeros against zeros: the mirror need not be read, which saves half of the memory traffic.
    const isZero = !isTouched(segment, first, count);
    if (isZero && kernels.zeroPages(work.staging, region.pageBytes, count, work.bits) === count) return;
    const at = segment.at + (first - segment.firstPage) * region.pageBytes;
    const differing = kernels.comparePages(work.staging, at, region.pageBytes, count, work.bits);
    if (differing === 0) return;
    touch(segment, first, count);
    kernels.listBits(work.bits, count, work.list);
    for (const index of kernels.arena.words(work.list, differing)) {
      if (listener !== undefined) {
        listener(
          region.id,
          first + index,
          kernels.arena.bytes(at + index * region.pageBytes, region.pageBytes),
        );
      }
      changed.add(first + index);
    }
    kernels.gatherPages(work.staging, work.list, region.pageBytes, differing, work.changedPages);
    kernels.scatterPages(at, work.list, region.pageBytes, differing, work.changedPages);
  }

  /** Where the bytes of a run are to be read, all of one chunk. Valid until the mirror is used again. */
  #placeOf(segment: Segment, first: number, count: number): Address {
    return this.#origin?.placeOf(segment, first, count) ?? addressIn(segment, first);
  }

  #regionOf(region: number): Region {
    const found = this.regions[region];
    assert(found !== undefined, 'a region id is an index');
    return found;
  }

  #segmentOf(region: number, page: number): Segment {
    const found = this.#segments[region]?.find(
      (segment) => page >= segment.firstPage && page < segment.firstPage + segment.pageCount,
    );
    assert(found !== undefined, 'a page lies in its region');
    return found;
  }
}
