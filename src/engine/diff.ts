// What differs between two instants of one machine, by page. Two snapshots are told apart by walking their tables
// where they differ; a live guest by the digests of the pages it changed.

import { type Digest, digestKey } from '../format/digest.ts';
import { type PageRun, PageSet } from '../memory/page-set.ts';
import { pageCountOf } from '../memory/region.ts';
import type { CapturedInstant, Tracker } from '../tracking/tracker.ts';
import type { EngineParts } from './engine-parts.ts';
import type { Base } from './save.ts';
import { checkSameMachine } from './snapshot.ts';
import { emptyTable } from './table-writer.ts';

/** The difference of one region. */
export interface RegionDiff {
  readonly name: string;
  readonly pageBytes: number;
  readonly pageCount: number;
  readonly pagesChanged: number;
  /** Runs of changed pages, ascending. */
  readonly runs: readonly PageRun[];
}

export interface DiffReport {
  readonly regions: readonly RegionDiff[];
  /** Names of device records whose bytes differ, or that only one side has. */
  readonly devices: readonly string[];
}

/** Compares two snapshots. Throws `guest-mismatch` when they are of different machines. */
export async function diffSnapshots(parts: EngineParts, a: Base, b: Base): Promise<DiffReport> {
  const regions = b.manifest.regions.map((region, id) => ({ id, ...region }));
  checkSameMachine(a.manifest, b.manifest.machine, regions);
  const diffs: RegionDiff[] = [];
  for (const region of regions) {
    const before = a.manifest.regions[region.id]!;
    diffs.push(regionDiff(region, await parts.tables.difference(before, region)));
  }
  const roots = (side: Base): Map<string, string> =>
    new Map(
      side.manifest.devices.map((device) => [device.name, `${device.sizeBytes}:${digestKey(device.root)}`]),
    );
  const [ofA, ofB] = [roots(a), roots(b)];
  const names = [...new Set([...ofA.keys(), ...ofB.keys()])].sort();
  return { regions: diffs, devices: names.filter((name) => ofA.get(name) !== ofB.get(name)) };
}

/**
 * Compares a snapshot with a captured instant that is told from `base`. Device state of a running guest always
 * differs and is not compared.
 */
export async function diffInstant(
  parts: EngineParts,
  tracker: Tracker,
  instant: CapturedInstant,
  base: Base | null,
  snapshot: Base,
): Promise<DiffReport> {
  const { machine, regions } = await tracker.describe();
  checkSameMachine(snapshot.manifest, machine, regions);
  const diffs: RegionDiff[] = [];
  for (const region of regions) {
    const table = snapshot.manifest.regions[region.id]!;
    const before = base?.manifest.regions[region.id] ?? emptyTable(region.sizeBytes, region.pageBytes);
    const differing = await parts.tables.difference(before, table);
    const touched = new PageSet(pageCountOf(region), instant.changed[region.id]!);
    differing.deleteAll(touched);
    const pages = [...touched];
    const batchPages = 2 ** 20 / region.pageBytes;
    for (let first = 0; first < pages.length; first += batchPages) {
      const batch = Uint32Array.from(pages.slice(first, first + batchPages));
      const { bytes } = await tracker.readPages(region.id, batch);
      const now = parts.digester.digestPages(bytes, region.pageBytes);
      const zeros = parts.digester.fillPatterns(bytes, region.pageBytes);
      const was = await parts.tables.pageDigests(table, batch);
      for (const [index, page] of batch.entries()) {
        const isZero = zeros.get(index)?.every((byte) => byte === 0) ?? false;
        const nowKey = isZero ? ZERO_KEY : digestKey(now as Digest, index * 32);
        if (nowKey !== digestKey(was as Digest, index * 32)) differing.add(page);
      }
    }
    diffs.push(regionDiff(region, differing));
  }
  return { regions: diffs, devices: [] };
}

const ZERO_KEY = '\0'.repeat(32);

function regionDiff(
  region: { readonly name: string; readonly pageBytes: number; readonly sizeBytes: number },
  differing: PageSet,
): RegionDiff {
  return {
    name: region.name,
    pageBytes: region.pageBytes,
    pageCount: pageCountOf(region),
    pagesChanged: differing.size,
    runs: [...differing.runs()],
  };
}
