// What is remembered of a recording: in the store that has its points, so that the next host knows it and goes on with it.

import * as v from 'valibot';
import { VitrineError } from '../base/error.ts';
import type { SnapshotId } from '../engine/snapshot.ts';
import type { Store } from '../store/store.ts';
import { COUNT, LABEL, SNAPSHOT_ID } from './fields.ts';

/** A moment that can be gone back to. */
export interface PastPoint {
  readonly snapshot: SnapshotId;
  /** What it was saved after: another point, or any snapshot; null where that is not known. */
  readonly parent: SnapshotId | null;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** What it added to the store, with what it inherited. */
  readonly bytes: number;
  /** The name of one that is never thinned out; null for all others. */
  readonly bookmark: string | null;
}

export interface RecordingBook {
  readonly everyMs: number;
  readonly budgetBytes: number;
  /** Whether points are to be taken. */
  readonly isOn: boolean;
  /** In the order in which they were taken. */
  readonly points: readonly PastPoint[];
}

const BOOK = v.object({
  everyMs: COUNT,
  budgetBytes: COUNT,
  isOn: v.boolean(),
  points: v.array(
    v.object({
      snapshot: SNAPSHOT_ID,
      parent: v.nullable(SNAPSHOT_ID),
      atMs: COUNT,
      bytes: COUNT,
      bookmark: v.nullable(LABEL),
    }),
  ),
});

function refOf(machine: string): string {
  return `refs/recordings/${machine}`;
}

/** The book of a machine; undefined where it was never recorded. Throws `format-range` for what is none, and what the store throws. */
export async function readRecordingBook(store: Store, machine: string): Promise<RecordingBook | undefined> {
  const bytes = await store.get(refOf(machine));
  if (bytes === undefined) return undefined;
  const refuse = (cause?: unknown): VitrineError =>
    new VitrineError('format-range', { record: 'recording', field: machine, value: bytes.length }, { cause });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw refuse(cause);
  }
  const checked = v.safeParse(BOOK, value);
  if (!checked.success) throw refuse();
  return checked.output;
}

/** Writes it, null for none. Throws `store-conflict` where another host does so, and what the store throws. */
export async function writeRecordingBook(
  store: Store,
  machine: string,
  book: RecordingBook | null,
): Promise<void> {
  const ref = refOf(machine);
  const before = (await store.get(ref)) ?? null;
  if (before === null && book === null) return;
  await store.compareAndSwap(
    ref,
    before,
    book === null ? null : new TextEncoder().encode(JSON.stringify(book)),
  );
}
