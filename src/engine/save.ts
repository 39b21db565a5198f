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
import type { CapturedInstant, LiveOptions, LiveReport, Tracker } from '../tracking/tracker.ts';
import type { EngineParts } from './engine-parts.ts';
import { PackSink } from './pack-sink.ts';
import { SavePass } from './save-pass.ts';
import { infoOf, manifestKey, type SnapshotId, type SnapshotInfo, snapshotRef } from './snapshot.ts';
import { emptyTable, writeTable } from './table-writer.ts';

export interface SaveOptions extends WorkOptions {
  /** Free text for people, at most 1,024 bytes. */
  readonly label?: string;
  /** How hard to compress; `fast` unless told: `balanced` and `small` load zstd first, 80 KB in a page. */
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
    pagesSkippedFree: instant.pagesSkippedFree ?? 0,
    objectsNew: written.objectsNew,
    bytesWritten: written.bytesWritten + bytes.length,
    ...(instant.live === undefined ? {} : { live: instant.live }),
  };
  return { id, digest, manifest, devices: pass.devices, epoch: instant.epoch + 1, report };
}

/** Whether a label is one that the format holds. */
export function labelFits(label: string): boolean {
  return new TextEncoder().encode(label).length <= LIMITS.maxLabelBytes;
}
