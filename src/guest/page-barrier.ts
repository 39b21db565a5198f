// A barrier for guests whose writes pass a function of theirs: they call `beforeWrite`, and that is all. The ring lies in a
// buffer beside the guest, a part for each region in proportion to its size.

import { assert } from '../base/assert.ts';
import { VitrineError } from '../base/error.ts';
import { BarrierBlock, type BarrierPlace, barrierBlockBytes, slotsIn } from '../memory/barrier-block.ts';
import type { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import { isShared } from '../memory/shared-memory.ts';
import type { Span } from '../memory/span.ts';
import type { Barrier, BarrierFigures, BarrierOptions, RegionPageSink } from './barrier.ts';

export interface PageBarrierParts {
  readonly regions: readonly Region[];
  /** The bytes of a region in place, whether the guest is paused or not. */
  readonly view: (region: number) => Uint8Array;
  /** Regions whose writes are told; all when left out. */
  readonly covers?: readonly boolean[];
  /** Called once, when it is closed. */
  readonly onClose?: () => void;
}

export class PageBarrier implements Barrier {
  readonly covers: readonly boolean[];
  readonly ringBytes: number;
  readonly places: readonly (BarrierPlace | undefined)[];
  readonly #parts: PageBarrierParts;
  readonly #options: BarrierOptions;
  /** By region; undefined where it is not covered. */
  #blocks: readonly (BarrierBlock | undefined)[];
  #sink: RegionPageSink | undefined;
  #closed: BarrierFigures | undefined;
  #copiedAside = 0;
  #spilled = 0;
  #longestStallMs = 0;
  #totalStallMs = 0;

  constructor(parts: PageBarrierParts, options: BarrierOptions) {
    const { regions } = parts;
    this.#parts = parts;
    this.#options = options;
    this.covers = parts.covers ?? regions.map(() => true);
    const coveredBytes = regions.reduce(
      (sum, { id, sizeBytes }) => sum + (this.covers[id] ? sizeBytes : 0),
      0,
    );
    const share = (region: Region) => (options.ringBytes * region.sizeBytes) / Math.max(1, coveredBytes);
    this.#blocks = regions.map((region) => {
      if (!this.covers[region.id]) return undefined;
      // Where others read the region they are to reach its states and its ring too.
      return openBlock(region, share(region), { shared: isShared(parts.view(region.id).buffer) });
    });
    this.places = this.#blocks.map((block) => block?.place);
    this.ringBytes = this.#blocks.reduce((sum, block) => sum + (block?.ringBytes ?? 0), 0);
  }

  /** The guest is about to write this span, which lies in its region. */
  beforeWrite(span: Span): void {
    const block = this.#blocks[span.region];
    if (block === undefined || this.#sink === undefined || span.lengthBytes === 0) return;
    const { pageBytes } = this.#parts.regions[span.region]!;
    const last = Math.floor((span.offsetBytes + span.lengthBytes - 1) / pageBytes);
    for (let page = Math.floor(span.offsetBytes / pageBytes); page <= last; page++) {
      if (block.isAwaited(page) && block.claim(page)) this.#copyAside(block, span.region, page);
    }
  }

  arm(awaited: readonly PageSet[], sink: RegionPageSink): void {
    if (this.#sink !== undefined || this.#closed !== undefined) {
      throw new VitrineError('wrong-state', { actual: 'armed or closed', required: 'open' });
    }
    for (const [region, block] of this.#blocks.entries()) block?.await(awaited[region]!);
    this.#sink = sink;
  }

  view(region: number): Uint8Array {
    return this.#parts.view(region);
  }

  release(region: number, page: number): boolean {
    return this.#blocks[region]?.claim(page) ?? false;
  }

  drain(maxPages: number): number {
    const sink = this.#sink;
    if (sink === undefined) return 0;
    let drained = 0;
    for (const [region, block] of this.#blocks.entries()) {
      drained += block?.drain(maxPages - drained, (page, bytes) => sink(region, page, bytes)) ?? 0;
    }
    return drained;
  }

  figures(): BarrierFigures {
    const peak = (sum: number, block: BarrierBlock | undefined, region: number) =>
      sum + (block?.peakPages ?? 0) * this.#parts.regions[region]!.pageBytes;
    return (
      this.#closed ?? {
        copiedAside: this.#copiedAside,
        spilled: this.#spilled,
        peakRingBytes: this.#blocks.reduce(peak, 0),
        longestStallMs: this.#longestStallMs,
        totalStallMs: this.#totalStallMs,
      }
    );
  }

  close(): void {
    if (this.#closed !== undefined) return;
    this.#closed = this.figures();
    this.#sink = undefined;
    this.#blocks = [];
    this.#parts.onClose?.();
  }

  /** The page was claimed: its old content must not be lost. */
  #copyAside(block: BarrierBlock, region: number, page: number): void {
    const { pageBytes } = this.#parts.regions[region]!;
    const bytes = this.#parts.view(region).subarray(page * pageBytes, (page + 1) * pageBytes);
    this.#copiedAside++;
    if (block.put(page, bytes)) return;
    const { clock } = this.#options;
    const startMs = clock.nowMs();
    assert(this.#sink !== undefined, 'pages are awaited only while there is a sink');
    this.#sink(region, page, bytes);
    this.#spilled++;
    const stallMs = clock.nowMs() - startMs;
    this.#totalStallMs += stallMs;
    this.#longestStallMs = Math.max(this.#longestStallMs, stallMs);
  }
}

/** A block of its own buffer, with the largest ring that memory is given for: none if it must be. */
function openBlock(region: Region, ringBytes: number, { shared }: { shared: boolean }): BarrierBlock {
  const pageCount = pageCountOf(region);
  const { pageBytes } = region;
  const open = (slotCount: number) => {
    const shape = { pageCount, pageBytes, slotCount };
    const bytes = barrierBlockBytes(shape);
    const buffer = shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
    return new BarrierBlock({ buffer }, 0, shape);
  };
  try {
    return open(slotsIn(ringBytes, pageBytes, pageCount));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return open(0);
  }
}
