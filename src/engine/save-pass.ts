// One walk over a captured instant: its changed pages and device records, batch by batch, become objects in the sink.
// Batches are small, the abort signal is looked at between them, and the thread is given back.

import type { OwnedBytes } from '../base/bytes.ts';
import { KIB, MIB } from '../base/limits.ts';
import { Pacing } from '../base/pacing.ts';
import { throwIfAborted } from '../base/work.ts';
import { compareDigests, type Digest, isZeroDigest, ZERO_DIGEST } from '../format/digest.ts';
import type { Table } from '../format/table.ts';
import type { DeviceRecord } from '../guest/guest.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import type { EngineParts } from './engine-parts.ts';
import type { PackSink } from './pack-sink.ts';
import type { SaveWork } from './save.ts';
import { type ChangedPages, emptyTable, writeTable } from './table-writer.ts';

/** Bytes of pages in hand at a time. */
const BATCH_BYTES = MIB;
/** Device records are cut into pages of this size. */
const DEVICE_PAGE_BYTES = 4 * KIB;

/** One walk over the captured pages. */
export class SavePass {
  readonly #parts: EngineParts;
  readonly #work: SaveWork;
  readonly #sink: PackSink;
  /** The device records, padded to whole pages. */
  readonly devices = new Map<string, OwnedBytes>();
  readonly #pacing: Pacing;
  readonly #totalPages: number;
  #donePages = 0;

  constructor(parts: EngineParts, work: SaveWork, sink: PackSink) {
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
    const { tracker, instant, options } = this.#work;
    const words = instant.changed[region.id]!;
    const candidates = [...new PageSet(pageCountOf(region), words)];
    const batchPages = BATCH_BYTES / region.pageBytes;
    const pages: number[] = [];
    const digests: Digest[] = [];
    for (let first = 0; first < candidates.length; first += batchPages) {
      throwIfAborted(options.signal);
      const batch = Uint32Array.from(candidates.slice(first, first + batchPages));
      const { bytes, previous, previousOf } = await tracker.readPages(region.id, batch);
      const old = this.#oldPages(previous, previousOf, region.pageBytes);
      await this.#storePages(before, batch, bytes, old, pages, digests);
      this.#donePages += batch.length;
      options.onProgress?.({
        phase: 'encode',
        done: this.#donePages,
        total: this.#totalPages,
        unit: 'pages',
      });
      await this.#pacing.breathe();
    }
    return { pages, digests: packDigests(digests) };
  }

  /** Stores a device record as a table of its own. */
  async storeDevice(record: DeviceRecord): Promise<Table> {
    const { tables, objects, digester } = this.#parts;
    const saved = this.#work.base?.manifest.devices.find((device) => device.name === record.name);
    const table = emptyTable(record.bytes.length, DEVICE_PAGE_BYTES);
    const before =
      saved?.sizeBytes === record.bytes.length && saved.pageBytes === DEVICE_PAGE_BYTES ? saved : table;
    const pageCount = pageCountOf(table);
    const padded = new Uint8Array(pageCount * DEVICE_PAGE_BYTES);
    padded.set(record.bytes);
    this.devices.set(record.name, padded);
    const changed = await this.#changedDevicePages(record.name, padded, before);
    const was = await tables.pageDigests(before, changed);
    const bytes = new Uint8Array(changed.length * DEVICE_PAGE_BYTES);
    const old = new Map<number, OldPage>();
    for (const [index, page] of changed.entries()) {
      bytes.set(
        padded.subarray(page * DEVICE_PAGE_BYTES, (page + 1) * DEVICE_PAGE_BYTES),
        index * DEVICE_PAGE_BYTES,
      );
      const digest = was.slice(index * 32, index * 32 + 32);
      if (!isZeroDigest(digest)) old.set(index, { digest, bytes: await objects.read(digest) });
    }
    const pages: number[] = [];
    const digests: Digest[] = [];
    await this.#storePages(before, changed, bytes, old, pages, digests);
    const written = await writeTable(
      { sizeBytes: before.sizeBytes, pageBytes: before.pageBytes, root: before.root },
      { pages, digests: packDigests(digests) },
      tables,
      this.#sink,
      digester,
    );
    return written;
  }

  /** Pages of a record that differ from the base's: told by its bytes where they are at hand, else by digest. */
  async #changedDevicePages(name: string, padded: OwnedBytes, before: Table): Promise<Uint32Array> {
    const { base } = this.#work;
    const { tables, digester } = this.#parts;
    const known = base?.manifest.devices.some((device) => device === before)
      ? base.devices?.get(name)
      : undefined;
    if (known !== undefined) return digester.differingPages(padded, known, DEVICE_PAGE_BYTES);
    const all = Uint32Array.from({ length: padded.length / DEVICE_PAGE_BYTES }, (_, page) => page);
    const now = digester.digestPages(padded, DEVICE_PAGE_BYTES);
    const was = await tables.pageDigests(before, all);
    return all.filter((page) => compareDigests(now, was, page * 32, page * 32) !== 0);
  }

  async #storePages(
    before: Table,
    batch: Uint32Array,
    bytes: Uint8Array<ArrayBuffer>,
    old: ReadonlyMap<number, OldPage>,
    pages: number[],
    digests: Digest[],
  ): Promise<void> {
    const { digester, tables } = this.#parts;
    const { pageBytes } = before;
    const now = digester.digestPages(bytes, pageBytes);
    const patterns = digester.fillPatterns(bytes, pageBytes);
    const was = await tables.pageDigests(before, batch);
    for (const [index, page] of batch.entries()) {
      const pattern = patterns.get(index);
      const isZero = pattern?.every((byte) => byte === 0) ?? false;
      const digest = isZero ? ZERO_DIGEST : (now.slice(index * 32, index * 32 + 32) as Digest);
      if (compareDigests(digest, was, 0, index * 32) === 0) continue;
      pages.push(page);
      digests.push(digest);
      if (isZero) continue;
      const content = bytes.subarray(index * pageBytes, (index + 1) * pageBytes);
      const base = old.get(index);
      await this.#sink.add({
        digest,
        kind: 'page',
        bytes: content,
        ...(pattern === undefined ? {} : { pattern }),
        // A delta is only as good as its base: what the tracker remembers must be what the base names.
        ...(base !== undefined && compareDigests(base.digest, was, 0, index * 32) === 0 ? { base } : {}),
      });
    }
  }

  #oldPages(previous: Uint8Array, previousOf: Uint32Array, pageBytes: number): Map<number, OldPage> {
    const digests = this.#parts.digester.digestPages(previous, pageBytes);
    const old = new Map<number, OldPage>();
    for (const [at, index] of previousOf.entries()) {
      old.set(index, {
        digest: digests.slice(at * 32, at * 32 + 32) as Digest,
        bytes: previous.subarray(at * pageBytes, (at + 1) * pageBytes),
      });
    }
    return old;
  }
}

interface OldPage {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
}

function packDigests(digests: readonly Digest[]): Uint8Array {
  const packed = new Uint8Array(digests.length * 32);
  for (const [index, digest] of digests.entries()) packed.set(digest, index * 32);
  return packed;
}
