// Saving: one captured instant becomes objects, tables and a manifest, and last a ref.
//
// The guest runs again before anything here is encoded. Whatever fails before the ref has moved, the caller puts the
// instant back: no page is forgotten, and what was written is at worst unreferenced.

import { toHex } from '../base/bytes.ts';
import { KIB, LIMITS, MIB } from '../base/limits.ts';
import { throwIfAborted, type WorkOptions } from '../base/work.ts';
import { type Digest, digestKey, isZeroDigest, ZERO_DIGEST } from '../format/digest.ts';
import type { Effort } from '../format/frame-codecs.ts';
import { encodeManifest, type Manifest } from '../format/manifest.ts';
import type { Table } from '../format/table.ts';
import type { DeviceRecord } from '../guest/guest.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import type { CapturedInstant, Tracker } from '../tracking/tracker.ts';
import type { EngineParts } from './engine-parts.ts';
import { Pacing } from './pacing.ts';
import { PackSink } from './pack-sink.ts';
import { infoOf, manifestKey, type SnapshotId, type SnapshotInfo, snapshotRef } from './snapshot.ts';
import { type ChangedPages, emptyTable, writeTable } from './table-writer.ts';

/** Bytes of pages in hand at a time. */
const BATCH_BYTES = MIB;
/** Device records are cut into pages of this size. */
const DEVICE_PAGE_BYTES = 4 * KIB;

export interface SaveOptions extends WorkOptions {
  /** Free text for people, at most 1,024 bytes. */
  readonly label?: string;
  /** How hard to compress; `fast` unless told: `balanced` and `small` load zstd first, 80 KB in a page. */
  readonly effort?: Effort;
  /** Trust no earlier snapshot: read and digest every page again. */
  readonly full?: boolean;
}

/** What a save did and cost. */
export interface SaveReport {
  readonly snapshot: SnapshotInfo;
  /** How long the guest rested. */
  readonly pauseMs: number;
  readonly totalMs: number;
  readonly pagesScanned: number;
  /** Pages whose content differs from the parent's. */
  readonly pagesChanged: number;
  /** Objects that the store did not hold yet. */
  readonly objectsNew: number;
  readonly bytesWritten: number;
}

/** The snapshot that a captured instant is told from. */
export interface Base {
  readonly id: SnapshotId;
  readonly digest: Digest;
  readonly manifest: Manifest;
}

/** Everything about one save that is not a part of the engine. */
export interface SaveWork {
  readonly name: string;
  readonly tracker: Tracker;
  readonly instant: CapturedInstant;
  /** What the instant's changes are told from; null when they are told from zeros. */
  readonly base: Base | null;
  /** The snapshot before this one in the machine's history. */
  readonly parent: Digest | null;
  readonly options: SaveOptions;
}

/** Writes the instant; resolves when its ref is durable. */
export async function saveInstant(
  parts: EngineParts,
  work: SaveWork,
): Promise<Base & { report: SaveReport }> {
  const startMs = parts.clock.nowMs();
  const { tracker, instant, base, options } = work;
  const { machine, regions } = await tracker.describe();
  const sink = await PackSink.open(
    parts.store,
    parts.objects,
    parts.codecs,
    parts.digester,
    options.effort ?? 'fast',
  );
  const pass = new SavePass(parts, work, sink);
  let pagesChanged = 0;
  const tables: Table[] = [];
  for (const region of regions) {
    const before = base?.manifest.regions[region.id] ?? emptyTable(region.sizeBytes, region.pageBytes);
    const changed = await pass.storeRegion(region, before);
    pagesChanged += changed.pages.length;
    tables.push(await writeTable(before, changed, parts.tables, sink, parts.digester));
  }
  const devices: Manifest['devices'][number][] = [];
  for (const record of instant.devices) {
    const table = await pass.storeDevice(record);
    devices.push({ ...table, name: record.name, version: record.version });
  }
  throwIfAborted(options.signal);
  const written = await sink.finish();
  const manifest: Manifest = {
    name: work.name,
    machine,
    regions: regions.map((region, index) => ({
      name: region.name,
      kind: region.kind,
      guestAddress: region.guestAddress,
      sizeBytes: region.sizeBytes,
      pageBytes: region.pageBytes,
      root: tables[index]!.root,
    })),
    devices,
    parent: work.parent,
    label: options.label ?? '',
    createdAtMs: Math.round(parts.clock.wallMs()),
    statistics: {
      pagesScanned: instant.pagesScanned,
      pagesChanged,
      objectsNew: written.objectsNew,
      bytesWritten: written.bytesWritten,
      pauseMs: instant.pauseMs,
    },
  };
  const bytes = encodeManifest(manifest);
  const digest = parts.digester.digest(bytes);
  const id = toHex(digest);
  await parts.store.put(manifestKey(id), bytes);
  throwIfAborted(options.signal);
  options.onProgress?.({ phase: 'commit', done: 0, total: 1, unit: 'objects' });
  await parts.store.compareAndSwap(snapshotRef(id), null, digest);
  options.onProgress?.({ phase: 'commit', done: 1, total: 1, unit: 'objects' });
  const report: SaveReport = {
    snapshot: infoOf(id, manifest),
    pauseMs: instant.pauseMs,
    totalMs: parts.clock.nowMs() - startMs,
    pagesScanned: instant.pagesScanned,
    pagesChanged,
    objectsNew: written.objectsNew,
    bytesWritten: written.bytesWritten + bytes.length,
  };
  return { id, digest, manifest, report };
}

/** One walk over the captured pages. */
class SavePass {
  readonly #parts: EngineParts;
  readonly #work: SaveWork;
  readonly #sink: PackSink;
  readonly #pacing = new Pacing();
  readonly #totalPages: number;
  #donePages = 0;

  constructor(parts: EngineParts, work: SaveWork, sink: PackSink) {
    this.#parts = parts;
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
    const all = Uint32Array.from({ length: pageCount }, (_, page) => page);
    const now = digester.digestPages(padded, DEVICE_PAGE_BYTES);
    const was = await tables.pageDigests(before, all);
    const changed = all.filter(
      (page) => digestKey(now as Digest, page * 32) !== digestKey(was as Digest, page * 32),
    );
    const bytes = new Uint8Array(changed.length * DEVICE_PAGE_BYTES);
    const old = new Map<number, OldPage>();
    for (const [index, page] of changed.entries()) {
      bytes.set(
        padded.subarray(page * DEVICE_PAGE_BYTES, (page + 1) * DEVICE_PAGE_BYTES),
        index * DEVICE_PAGE_BYTES,
      );
      const digest = was.slice(page * 32, page * 32 + 32) as Digest;
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
      const baseKey = digestKey(was as Digest, index * 32);
      if (digestKey(digest) === baseKey) continue;
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
        ...(base !== undefined && digestKey(base.digest) === baseKey ? { base } : {}),
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

/** Throws unless a label fits. */
export function labelFits(label: string): boolean {
  return new TextEncoder().encode(label).length <= LIMITS.maxLabelBytes;
}
