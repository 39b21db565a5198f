// Restoring: plan which pages differ from what the guest holds, read and prove them, and only then touch the guest.
//
//   pages that changed since the base ∪ pages in which base and snapshot differ ─▶ read, prove, stage ─▶ apply

import { MIB } from '../base/limits.ts';
import { Pacing } from '../base/pacing.ts';
import { throwIfAborted, type WorkOptions } from '../base/work.ts';
import type { Table } from '../format/table.ts';
import type { DeviceRecord } from '../guest/guest.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf } from '../memory/region.ts';
import type { Tracker } from '../tracking/tracker.ts';
import type { EngineParts } from './engine-parts.ts';
import type { Base } from './save.ts';
import { checkSameMachine } from './snapshot.ts';
import { emptyTable } from './table-writer.ts';

const BATCH_BYTES = 4 * MIB;
/** Batches that are being read while one is staged. */
const BATCHES_AHEAD = 2;

export type RestoreOptions = WorkOptions;

/** What a restore did and cost. */
export interface RestoreReport {
  /** How long the guest rested. */
  readonly pauseMs: number;
  readonly totalMs: number;
  /** Pages read from the store or known to be zeros. */
  readonly pagesPlanned: number;
  /** Pages that differed from the guest's and were written. */
  readonly pagesWritten: number;
}

/**
 * Brings the guest of `tracker` to `target`.
 *
 * All or nothing: on any failure the guest runs on as it was. Throws `guest-mismatch` naming the differing field,
 * `guest-state-invalid`, `object-missing`, `object-damaged`, `aborted`, and what the store throws.
 */
export async function restoreSnapshot(
  parts: EngineParts,
  tracker: Tracker,
  base: Base | null,
  target: Base,
  options: RestoreOptions,
): Promise<RestoreReport> {
  const startMs = parts.clock.nowMs();
  const { machine, regions } = await tracker.describe();
  checkSameMachine(target.manifest, machine, regions);
  throwIfAborted(options.signal);
  // Devices first: they are small, and when one is damaged the guest need not stop at all.
  const devices = await readDevices(parts, target);
  const { changed } = await tracker.beginRestore({ full: base === null });
  let staged = 0;
  try {
    const plans: PageSet[] = [];
    for (const region of regions) {
      const table = target.manifest.regions[region.id]!;
      const before = base?.manifest.regions[region.id] ?? emptyTable(region.sizeBytes, region.pageBytes);
      const plan = await parts.tables.difference(before, table);
      plan.addAll(new PageSet(pageCountOf(region), changed[region.id]!));
      plans.push(plan);
    }
    const total = plans.reduce((sum, plan) => sum + plan.size, 0);
    options.onProgress?.({ phase: 'plan', done: total, total, unit: 'pages' });
    const pacing = new Pacing(parts.clock);
    for (const region of regions) {
      const table = target.manifest.regions[region.id]!;
      const list = batches([...plans[region.id]!], BATCH_BYTES / region.pageBytes);
      for await (const { batch, read } of readAhead(list, (pages) => readPages(parts, table, pages))) {
        throwIfAborted(options.signal);
        await stage(tracker, region.id, table, batch, read);
        staged += batch.length;
        options.onProgress?.({ phase: 'read', done: staged, total, unit: 'pages' });
        await pacing.breathe();
      }
    }
    throwIfAborted(options.signal);
  } catch (error) {
    await tracker.abandonRestore();
    throw error;
  }
  options.onProgress?.({ phase: 'apply', done: 0, total: staged, unit: 'pages' });
  const applied = await tracker.applyRestore(devices);
  options.onProgress?.({ phase: 'apply', done: staged, total: staged, unit: 'pages' });
  return { ...applied, totalMs: parts.clock.nowMs() - startMs, pagesPlanned: staged };
}

/** The device records of a snapshot, proven. */
export async function readDevices(parts: EngineParts, snapshot: Base): Promise<DeviceRecord[]> {
  const records: DeviceRecord[] = [];
  for (const device of snapshot.manifest.devices) {
    const bytes = await readTable(parts, device, 0, device.sizeBytes);
    records.push({ name: device.name, version: device.version, bytes });
  }
  return records;
}

/** A range of the bytes that a table names. The range lies in the table. */
export async function readTable(
  parts: EngineParts,
  table: Table,
  offsetBytes: number,
  lengthBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(lengthBytes);
  if (lengthBytes === 0) return bytes;
  const { pageBytes } = table;
  const first = Math.floor(offsetBytes / pageBytes);
  const last = Math.floor((offsetBytes + lengthBytes - 1) / pageBytes);
  const pages = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  for (const batch of batches(pages, BATCH_BYTES / pageBytes)) {
    const { contents } = await readPages(parts, table, batch);
    for (const [index, page] of batch.entries()) {
      const content = contents[index];
      if (content === undefined) continue;
      const at = page * pageBytes - offsetBytes;
      const from = Math.max(0, -at);
      const to = Math.min(pageBytes, lengthBytes - at);
      bytes.set(content.subarray(from, to), at + from);
    }
  }
  return bytes;
}

/** Pages of a table. */
interface ReadPages {
  /** Undefined for a zero page. */
  readonly contents: readonly (Uint8Array | undefined)[];
  /** 32 bytes a page. */
  readonly digests: Uint8Array;
}

/** Reads pages, proven. */
async function readPages(parts: EngineParts, table: Table, pages: readonly number[]): Promise<ReadPages> {
  const digests = await parts.tables.pageDigests(table, pages);
  return { contents: await parts.objects.readPages(digests), digests };
}

/** Reads a few batches ahead of the one that is in hand: the medium has something to do meanwhile. */
async function* readAhead(
  list: Iterable<number[]>,
  read: (batch: number[]) => Promise<ReadPages>,
): AsyncGenerator<{ readonly batch: number[]; readonly read: ReadPages }> {
  const underWay: { readonly batch: number[]; readonly reading: Promise<ReadPages> }[] = [];
  const takeFirst = async () => {
    const { batch, reading } = underWay.shift()!;
    return { batch, read: await reading };
  };
  try {
    for (const batch of list) {
      const reading = read(batch);
      // Heard of when its turn comes, which it may not where an earlier one fails.
      reading.catch(() => {});
      underWay.push({ batch, reading });
      if (underWay.length > BATCHES_AHEAD) yield await takeFirst();
    }
    while (underWay.length > 0) yield await takeFirst();
  } finally {
    // None is under way when the restore has ended.
    await Promise.allSettled(underWay.map(({ reading }) => reading));
  }
}

async function stage(
  tracker: Tracker,
  region: number,
  table: Table,
  pages: readonly number[],
  { contents, digests }: ReadPages,
): Promise<void> {
  const zeros = pages.filter((_, index) => contents[index] === undefined);
  const filled = pages.filter((_, index) => contents[index] !== undefined);
  const bytes = new Uint8Array(filled.length * table.pageBytes);
  const proofs = new Uint8Array(filled.length * 32);
  let count = 0;
  for (const [index, content] of contents.entries()) {
    if (content === undefined) continue;
    bytes.set(content, count * table.pageBytes);
    proofs.set(digests.subarray(index * 32, index * 32 + 32), count * 32);
    count++;
  }
  if (zeros.length > 0) await tracker.stageZeros(region, Uint32Array.from(zeros));
  if (filled.length > 0) await tracker.stagePages(region, Uint32Array.from(filled), bytes, proofs);
}

function* batches(pages: readonly number[], count: number): Generator<number[]> {
  for (let first = 0; first < pages.length; first += count) yield pages.slice(first, first + count);
}
