// One walk over a captured instant: its changed pages and device records, batch by batch, become objects in the sink.
// Batches are small, the abort signal is looked at between them, and the thread is given back.

import { concatBytes, type OwnedBytes } from '../base/bytes.ts';
import { KIB, MIB } from '../base/limits.ts';
import { Pacing } from '../base/pacing.ts';
import { loadPart } from '../base/part.ts';
import { throwIfAborted } from '../base/work.ts';
import { compareDigests, type Digest, isZeroDigest } from '../format/digest.ts';
import type { Table } from '../format/table.ts';
import type { DeviceRecord } from '../guest/guest.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import type { EngineParts } from './engine-parts.ts';
import type { NewObject, PackSink } from './pack-sink.ts';
import type { LaneListener, PageLanes } from './page-lanes.ts';
import type { InstantWork } from './save.ts';
import { type ChangedPages, emptyTable, writeTable } from './table-writer.ts';

/** Bytes of pages in hand at a time. */
const BATCH_BYTES = MIB;
/** Device records are cut into pages of this size. */
const DEVICE_PAGE_BYTES = 4 * KIB;

/** One walk over the captured pages. */
export class SavePass {
  readonly #parts: EngineParts;
  readonly #work: InstantWork;
  readonly #sink: PackSink;
  /** The device records as they came. */
  readonly devices = new Map<string, OwnedBytes>();
  /** How long the guest has rested for the instant. */
  pauseMs: number;
  readonly #pacing: Pacing;
  readonly #totalPages: number;
  #donePages = 0;

  constructor(parts: EngineParts, work: InstantWork, sink: PackSink) {
    this.pauseMs = work.instant.pauseMs;
    this.#parts = parts;
    this.#pacing = new Pacing(parts.clock);
    this.#work = work;
    this.#sink = sink;
    this.#totalPages = work.instant.changed.reduce(
      (sum, words) => sum + new PageSet(words.length * 32, words).size,
      0,
    );
  }

  /** Hands the region's new pages to the sink; answers with those that differ from the base's. */
  async storeRegion(region: Region, before: Table): Promise<ChangedPages> {
    const { tracker, instant, base, options } = this.#work;
    const words = instant.changed[region.id]!;
    const candidates = Uint32Array.from(new PageSet(pageCountOf(region), words));
    const batchPages = BATCH_BYTES / region.pageBytes;
    const changed = new Changes(candidates.length);
    // What pages held before is told from the last committed capture: was that the base, it holds what the base names.
    const isOfBase = base?.epoch !== undefined && base.epoch === instant.epoch;
    const lanes = await this.#openLanes(region, changed);
    for (let first = 0; first < candidates.length; first += batchPages) {
      throwIfAborted(options.signal);
      // Not a view: what is sent to a thread takes all that it is a view on with it.
      const pages = candidates.slice(first, first + batchPages);
      const places = lanes === undefined ? undefined : tracker.sharedPages?.(region.id, pages);
      if (lanes !== undefined && places !== undefined) {
        await lanes.add({ before, pages }, { kind: 'shared', places, pages });
        this.#told(pages.length);
        continue;
      }
      const file = lanes === undefined ? undefined : tracker.fileAhead?.(region.id);
      if (lanes !== undefined && file !== undefined) {
        await lanes.add({ before, pages }, { kind: 'file', file, pages });
        this.#told(pages.length);
        continue;
      }
      const { bytes, previous, previousOf, pauseMs } = await tracker.readPages(region.id, pages);
      if (lanes !== undefined && (isOfBase || previousOf.length === 0))
        await lanes.add(
          { before, pages },
          { kind: 'own', bytes },
          this.#sink.keepsDeltas ? { bytes: previous, of: previousOf } : undefined,
        );
      else {
        await lanes?.drain();
        const batch = { before, pages, bytes, previous, previousOf, isOfBase };
        const digests = await this.#storePages(batch, changed);
        if (this.#work.tellStored === true) await tracker.storedAhead?.(region.id, pages, digests);
      }
      this.pauseMs = pauseMs ?? this.pauseMs;
      this.#told(pages.length);
      await this.#pacing.breathe();
    }
    await lanes?.drain();
    return changed.list();
  }

  #told(pageCount: number): void {
    this.#donePages += pageCount;
    this.#work.options.onProgress?.({
      phase: 'encode',
      done: this.#donePages,
      total: this.#totalPages,
      unit: 'pages',
    });
  }

  /** Other threads for the pages of a region, where there is enough to do for them. */
  async #openLanes(region: Region, changed: Changes): Promise<PageLanes | undefined> {
    const { encoder, tables } = this.#parts;
    const { tracker, options, tellStored } = this.#work;
    const effort = options.effort ?? 'fast';
    if (encoder === undefined || !encoder.takes(effort) || this.#totalPages < encoder.fewestPages)
      return undefined;
    const listener: LaneListener = async ({ pages }, digests, indices) => {
      for (const index of indices) changed.add(pages[index]!, digests, index * 32);
      if (tellStored === true) await tracker.storedAhead?.(region.id, pages, digests);
    };
    const { PageLanes } = await loadPart('lanes', () => import('./page-lanes.ts'));
    return new PageLanes({ encoder, sink: this.#sink, tables, listener });
  }

  /** Stores a device record as a table of its own. */
  async storeDevice(record: DeviceRecord): Promise<Table> {
    const { tables, digester } = this.#parts;
    const { base } = this.#work;
    this.devices.set(record.name, record.bytes);
    const saved = base?.manifest.devices.find((device) => device.name === record.name);
    const isLike = saved?.sizeBytes === record.bytes.length && saved.pageBytes === DEVICE_PAGE_BYTES;
    const before = isLike ? saved : emptyTable(record.bytes.length, DEVICE_PAGE_BYTES);
    // What the base was saved from, where it is still at hand.
    const known = isLike ? base?.devices?.get(record.name) : undefined;
    if (known === record.bytes) return before;
    const padded = wholePages(record.bytes);
    const all = Uint32Array.from({ length: pageCountOf(before) }, (_, page) => page);
    const pages =
      known === undefined
        ? await this.#pagesUnlike(before, padded, all)
        : digester.differingPages(padded, wholePages(known), DEVICE_PAGE_BYTES);
    const changed = new Changes(pages.length);
    const old =
      known === undefined
        ? await this.#readOld(before, pages)
        : { previous: pick(known, pages), previousOf: all };
    await this.#storePages({ before, pages, bytes: pick(padded, pages), ...old, isOfBase: true }, changed);
    const { sizeBytes, pageBytes, root } = before;
    return writeTable({ sizeBytes, pageBytes, root }, changed.list(), tables, this.#sink, digester);
  }

  /** Of all pages those that differ from the base's, told by digest. */
  async #pagesUnlike(before: Table, padded: OwnedBytes, all: Uint32Array): Promise<Uint32Array> {
    const now = this.#parts.digester.digestPages(padded, DEVICE_PAGE_BYTES);
    const was = await this.#parts.tables.pageDigests(before, all);
    return all.filter((page) => compareDigests(now, was, page * 32, page * 32) !== 0);
  }

  /** What pages of a record hold in the store, proven. */
  async #readOld(before: Table, pages: Uint32Array): Promise<Pick<PageBatch, 'previous' | 'previousOf'>> {
    const was = await this.#parts.tables.pageDigests(before, pages);
    const previousOf = Uint32Array.from(pages.keys()).filter((index) => !isZeroDigest(was, index * 32));
    const digests = Array.from(previousOf, (index) => was.slice(index * 32, index * 32 + 32) as Digest);
    return { previous: concatBytes(await this.#parts.objects.readMany(digests)), previousOf };
  }

  /**
   * Hands those pages to the sink whose digest is not that of the base's table, and notes them. Answers with the digests of all,
   * zeros for pages of zeros.
   */
  async #storePages(batch: PageBatch, changed: Changes): Promise<OwnedBytes> {
    const { digester, tables } = this.#parts;
    const { before, pages, bytes, previous, previousOf, isOfBase } = batch;
    if (pages.length === 0) return new Uint8Array(0);
    const { pageBytes } = before;
    const { digests, patterns } = digester.inspectPages(bytes, pageBytes);
    const was = await tables.pageDigests(before, pages);
    // A delta is only as good as its base: what is remembered must be what the base names.
    const proofs = isOfBase ? was : digester.digestPages(previous, pageBytes);
    let old = 0;
    for (let index = 0; index < pages.length; index++) {
      while (old < previousOf.length && previousOf[old]! < index) old++;
      const hasOld = previousOf[old] === index;
      const at = index * 32;
      const pattern = patterns.get(index);
      const isZero = pattern?.every((byte) => byte === 0) ?? false;
      if (isZero) digests.fill(0, at, at + 32);
      if (compareDigests(digests, was, at, at) === 0) continue;
      changed.add(pages[index]!, digests, at);
      if (isZero) continue;
      const digest = digests.subarray(at, at + 32) as Digest;
      const object: NewObject = {
        digest,
        kind: 'page',
        bytes: bytes.subarray(index * pageBytes, (index + 1) * pageBytes),
      };
      const isProven =
        hasOld && !isZeroDigest(was, at) && (isOfBase || compareDigests(proofs, was, old * 32, at) === 0);
      const writing = this.#sink.add(
        pattern !== undefined
          ? { ...object, pattern }
          : isProven
            ? {
                ...object,
                base: {
                  digest: was.subarray(at, at + 32) as Digest,
                  bytes: previous.subarray(old * pageBytes, (old + 1) * pageBytes),
                },
              }
            : object,
      );
      if (writing !== undefined) await writing;
    }
    return digests;
  }
}

/** Pages in hand. Page `i` of `previous` is what page `previousOf[i]` of the list held before; these ascend. */
interface PageBatch {
  readonly before: Table;
  readonly pages: Uint32Array;
  readonly bytes: Uint8Array;
  readonly previous: Uint8Array;
  readonly previousOf: Uint32Array;
  /** What pages held before is known to be what `before` names; otherwise digests must tell. */
  readonly isOfBase: boolean;
}

/** Pages that got another digest, in ascending order. */
class Changes {
  readonly #pages: number[] = [];
  readonly #digests: OwnedBytes;

  constructor(most: number) {
    this.#digests = new Uint8Array(most * 32);
  }

  add(page: number, digests: Uint8Array, offset: number): void {
    this.#digests.set(digests.subarray(offset, offset + 32), this.#pages.length * 32);
    this.#pages.push(page);
  }

  list(): ChangedPages {
    return { pages: this.#pages, digests: this.#digests.subarray(0, this.#pages.length * 32) };
  }
}

/** A record with zeros up to a whole page; itself where it has one. */
function wholePages(bytes: OwnedBytes): OwnedBytes {
  const lengthBytes = Math.ceil(bytes.length / DEVICE_PAGE_BYTES) * DEVICE_PAGE_BYTES;
  if (lengthBytes === bytes.length) return bytes;
  const padded = new Uint8Array(lengthBytes);
  padded.set(bytes);
  return padded;
}

/** Pages of a record one after another. */
function pick(bytes: Uint8Array, pages: Uint32Array): OwnedBytes {
  const picked = new Uint8Array(pages.length * DEVICE_PAGE_BYTES);
  for (const [index, page] of pages.entries()) {
    const at = page * DEVICE_PAGE_BYTES;
    picked.set(bytes.subarray(at, at + DEVICE_PAGE_BYTES), index * DEVICE_PAGE_BYTES);
  }
  return picked;
}
