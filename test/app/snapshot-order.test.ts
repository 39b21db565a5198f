// The order and levels of the snapshot tree, on histories drawn in letters.

import { describe, expect, it } from 'vitest';
import { orderSnapshots, titleOf } from '../../src/app/snapshot-order.ts';
import type { SnapshotInfo } from '../../src/engine/snapshot.ts';

/** `b<a` is a snapshot b whose parent is a. */
function history(...lines: string[]): SnapshotInfo[] {
  return lines.map((line, index) => {
    const [id = '', parent] = line.split('<');
    return {
      id,
      parent: parent ?? null,
      machine: 'flat',
      kind: 'flat',
      label: id,
      createdAtMs: index,
      statistics: { pagesScanned: 0, pagesChanged: 0, objectsNew: 0, bytesWritten: 0, pauseMs: 0 },
      memoryBytes: 0,
    };
  });
}

function drawn(snapshots: readonly SnapshotInfo[]): string {
  return orderSnapshots(snapshots)
    .map(({ snapshot, level }) => `${'-'.repeat(level)}${snapshot.id}`)
    .join(' ');
}

describe('orderSnapshots', () => {
  it('keeps a history without branches on one level', () => {
    expect(drawn(history('a', 'b<a', 'c<b'))).toBe('a b c');
  });

  it('puts branches one level deeper under their parent, and goes on with the oldest child', () => {
    expect(drawn(history('a', 'b<a', 'c<a', 'd<b', 'e<c'))).toBe('a -c -e b d');
  });

  it('takes a snapshot whose parent is gone for a first one, and says so', () => {
    const placed = orderSnapshots(history('b<a', 'c<b'));
    expect(placed.map(({ snapshot, parent }) => [snapshot.id, parent?.id])).toEqual([
      ['b', undefined],
      ['c', 'b'],
    ]);
  });

  it('takes a history longer than any stack', () => {
    const lines = Array.from({ length: 20_000 }, (_, at) => (at === 0 ? 's0' : `s${at}<s${at - 1}`));
    expect(orderSnapshots(history(...lines))).toHaveLength(20_000);
  });
});

it('a snapshot without a label is called by its id', () => {
  const [snapshot] = history('0123456789abcdef');
  expect(titleOf({ ...snapshot!, label: '' })).toBe('unnamed 01234567');
});
