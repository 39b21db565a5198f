// Saving: one captured instant becomes objects, tables and a manifest, and last a ref.
//
// The guest runs again before anything here is encoded. Whatever fails before the ref has moved, the caller puts the
// instant back: no page is forgotten, and what was written is at worst unreferenced.

import { type OwnedBytes, toHex } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import { throwIfAborted, type WorkOptions } from '../base/work.ts';
import type { Digest } from '../format/digest.ts';
import type { Effort } from '../format/frame-codecs.ts';
import { encodeManifest, type Manifest } from '../format/manifest.ts';
import type { Table } from '../format/table.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf } from '../memory/region.ts';
import type { CapturedInstant, LiveOptions, LiveReport, Tracker } from '../tracking/tracker.ts';
import type { EngineParts } from './engine-parts.ts';
import { PackSink, type SinkReport } from './pack-sink.ts';
import { SavePass } from './save-pass.ts';
import { infoOf, manifestKey, type SnapshotId, type SnapshotInfo, snapshotRef } from './snapshot.ts';
import { emptyTable, writeTable } from './table-writer.ts';

export interface SaveOptions extends WorkOptions {
  /** Free text for people, at most 1,024 bytes. */
  readonly label?: string;
  /**
   * How hard to compress; `fast` unless told. `none` writes pages as they are, for a medium that is faster than compression; `balanced`
   * and `small` load zstd first, 80 KB in a page.
   */
  readonly effort?: Effort;
  /** Trust no earlier snapshot: read and digest every page again. */
  readonly full?: boolean;
  /**
   * Let the guest run on while its memory is captured, so that its pause does not grow with RAM. The snapshot is of one
   * instant all the same. A guest that cannot is stopped as usual; the report says so, and what the guest had to wait.
   */
  readonly live?: LiveOptions;
  /**
   * `skip`, when left out: pages that the guest says are free, and did not write since it was asked, are saved as zeros.
   * `keep` asks nobody and saves every byte.
   */
  readonly freePages?: 'skip' | 'keep';
}

/** What a save did and cost. */
export interface SaveReport {
  readonly snapshot: SnapshotInfo;
  /** How long the guest rested. */
  readonly pauseMs: number;
  /** From the capture's begin to the durable ref. */
  readonly totalMs: number;
  readonly pagesScanned: number;
  /** Pages whose content differs from the parent's. */
  readonly pagesChanged: number;
  /** Pages saved as zeros because they are free in the guest. */
  readonly pagesSkippedFree: number;
  /** Objects that the store did not hold yet. */
  readonly objectsNew: number;
  readonly bytesWritten: number;
  /** What the capture cost the guest, where a live one was asked for. */
  readonly live?: LiveReport;
}

/** The snapshot that a captured instant is told from. */
export interface Base {
  readonly id: SnapshotId;
  readonly digest: Digest;
  readonly manifest: Manifest;
  /** Its device records as they were saved, by name; where they are still at hand. */
  readonly devices?: ReadonlyMap<string, OwnedBytes>;
  /** That of captures which are told from it; where it was saved by this machine. */
  readonly epoch?: number;
}

/** Captured pages, and what they are told from. */
export interface InstantWork {
  readonly tracker: Tracker;
  readonly instant: CapturedInstant;
  /** What the instant's changes are told from; null when they are told from zeros. */
  readonly base: Base | null;
  readonly options: SaveOptions;
  /** The tracker is to hear which pages were stored. */
  readonly tellStored?: boolean;
}

/** What was stored of a guest before its instant was captured. */
export interface StoredAhead {
  /** What the instant's changes are told from in place of the base's, one a region. */
  readonly tables: readonly Table[];
  /** Pages in which these differ from the base's. */
  readonly changed: readonly PageSet[];
  readonly written: SinkReport;
}

/** Everything about one save that is not a part of the engine. */
export interface SaveWork extends InstantWork {
  readonly name: string;
  /** When it began, by the engine's clock. */
  readonly startMs: number;
  /** What was stored before, if anything was. */
  readonly ahead: StoredAhead | null;
  /** The snapshot before this one in the machine's history. */
  readonly parent: Digest | null;
}

/** Stores the pages of a guest that runs on, after what was `before`; the tracker is told which ones. Nothing names them yet. */
export async function storeAhead(
  parts: EngineParts,
  work: InstantWork,
  before: StoredAhead | null,
): Promise<StoredAhead> {
  return PackSink.using(openSink(parts, work.options), async (sink) => {
    const pass = new SavePass(parts, { ...work, tellStored: true }, sink);
    const stored = await storeRegions(parts, work, pass, sink, before);
    return { ...stored, written: sumOf(await sink.finish(), before?.written) };
  });
}

/** Writes the instant; resolves when its ref is durable. */
export function saveInstant(parts: EngineParts, work: SaveWork): Promise<Base & { report: SaveReport }> {
  return PackSink.using(openSink(parts, work.options), (sink) => saveInto(sink, parts, work));
}

async function saveInto(
  sink: PackSink,
  parts: EngineParts,
  work: SaveWork,
): Promise<Base & { report: SaveReport }> {
  const { tracker, instant, ahead, options, startMs } = work;
  const { machine, regions } = await tracker.describe();
  const pass = new SavePass(parts, work, sink);
  const { tables, changed } = await storeRegions(parts, work, pass, sink, ahead);
  const pagesChanged = changed.reduce((sum, { size }) => sum + size, 0);
  const devices: Manifest['devices'][number][] = [];
  for (const record of instant.devices) {
    const table = await pass.storeDevice(record);
    devices.push({ ...table, name: record.name, version: record.version });
  }
  throwIfAborted(options.signal);
  const written = sumOf(await sink.seal(), ahead?.written);
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
      pauseMs: pass.pauseMs,
    },
  };
  const bytes = encodeManifest(manifest);
  const digest = parts.digester.digest(bytes);
  const id = toHex(digest);
  // It is no snapshot before its ref names it: it need not wait for the packs, nor they for it.
  const putManifest = async (): Promise<void> => parts.store.put(manifestKey(id), bytes);
  await bothOf(sink.finish(), putManifest());
  throwIfAborted(options.signal);
  options.onProgress?.({ phase: 'commit', done: 0, total: 1, unit: 'objects' });
  await parts.store.compareAndSwap(snapshotRef(id), null, digest);
  options.onProgress?.({ phase: 'commit', done: 1, total: 1, unit: 'objects' });
  const report: SaveReport = {
    snapshot: infoOf(id, manifest),
    pauseMs: pass.pauseMs,
    totalMs: parts.clock.nowMs() - startMs,
    pagesScanned: instant.pagesScanned,
    pagesChanged,
    pagesSkippedFree: instant.pagesSkippedFree ?? 0,
    objectsNew: written.objectsNew,
    bytesWritten: written.bytesWritten + bytes.length,
    ...(instant.live === undefined ? {} : { live: instant.live }),
  };
  return { id, digest, manifest, devices: pass.devices, epoch: instant.epoch + 1, report };
}

/** Stores the instant's pages and writes its tables; answers with these and the pages in which they differ from the base's. */
async function storeRegions(
  parts: EngineParts,
  { tracker, base }: InstantWork,
  pass: SavePass,
  sink: PackSink,
  ahead: StoredAhead | null,
): Promise<Pick<StoredAhead, 'tables' | 'changed'>> {
  const { regions } = await tracker.describe();
  const tables: Table[] = [];
  const changed: PageSet[] = [];
  for (const region of regions) {
    const { id, sizeBytes, pageBytes } = region;
    const before = ahead?.tables[id] ?? base?.manifest.regions[id] ?? emptyTable(sizeBytes, pageBytes);
    const found = await pass.storeRegion(region, before);
    const pages = ahead?.changed[id] ?? new PageSet(pageCountOf(region));
    for (const page of found.pages) pages.add(page);
    changed.push(pages);
    tables.push(await writeTable(before, found, parts.tables, sink, parts.digester));
  }
  return { tables, changed };
}

function openSink(parts: EngineParts, { effort = 'fast' }: SaveOptions): Promise<PackSink> {
  return PackSink.open(parts.store, parts.objects, parts.codecs, parts.digester, effort, parts.encoder);
}

/** Resolves when both have; when one fails, both have ended. */
async function bothOf(...work: readonly [Promise<unknown>, Promise<unknown>]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === 'rejected') throw result.reason;
}

function sumOf(a: SinkReport, b?: SinkReport): SinkReport {
  return {
    objectsNew: a.objectsNew + (b?.objectsNew ?? 0),
    objectsKnown: a.objectsKnown + (b?.objectsKnown ?? 0),
    bytesWritten: a.bytesWritten + (b?.bytesWritten ?? 0),
  };
}

/** Whether a label is one that the format holds. */
export function labelFits(label: string): boolean {
  return new TextEncoder().encode(label).length <= LIMITS.maxLabelBytes;
}
