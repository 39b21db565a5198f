// Which points of a past lie on the line to where a machine is, and which ends of futures do not.

import { describe, expect, it } from 'vitest';
import { type HostPoint, pastLine } from '../../src/app/past-line.ts';
import type { SnapshotInfo } from '../../src/engine/snapshot.ts';

/** `'a b<a c<x'`: points with what they came from; nothing stands for null. */
function pointsOf(text: string): HostPoint[] {
  return text.split(' ').map((word, index) => {
    const [snapshot = '', parent = null] = word.split('<');
    return { snapshot, parent, atMs: index, bytes: 1, bookmark: null, isHere: false };
  });
}

const between = (id: string, parent: string | null) => ({ id, parent }) as SnapshotInfo;

function look(
  text: string,
  base: string | null,
  { towards = null, snapshots = [] }: { towards?: string | null; snapshots?: SnapshotInfo[] } = {},
): string {
  const { line, ends, head } = pastLine(pointsOf(text), snapshots, base, towards);
  const names = (list: readonly HostPoint[]) => list.map(({ snapshot }) => snapshot).join('');
  return `${names(line)} at ${head?.snapshot} not ${names(ends)}`;
}

describe('the line of a past', () => {
  it('is all of it where the machine never went back', () => {
    expect(look('a b<a c<b', 'c')).toBe('abc at c not ');
    expect(look('a b<a c<b', 'a')).toBe('abc at a not ');
    expect(pastLine([], [], 'x', null)).toEqual({ line: [], ends: [], head: null });
  });

  it('leads to where the machine is, and other futures are named by their ends', () => {
    const forked = 'a b<a c<b d<c e<b f<e';
    expect(look(forked, 'f')).toBe('abef at f not d');
    expect(look(forked, 'e')).toBe('abef at e not d');
    expect(look(forked, 'c')).toBe('abcd at c not f');
    // Where it forks after that: to where one looked last, or the youngest.
    expect(look(forked, 'b')).toBe('abef at b not d');
    expect(look(forked, 'b', { towards: 'd' })).toBe('abcd at b not f');
    expect(look(forked, 'e', { towards: 'd' })).toBe('abef at e not d');
  });

  it('goes on over snapshots that are no points, and where nothing is known', () => {
    const snapshots = [between('x', 'b'), between('y', 'x')];
    expect(look('a b<a c<y', 'c', { snapshots })).toBe('abc at c not ');
    expect(look('a b<a c<b', 'y', { snapshots })).toBe('abc at b not ');
    expect(look('a b<gone c', 'gone')).toBe('abc at c not ');
    expect(look('a b<a c<b', null)).toBe('abc at c not ');
  });

  it('ends whatever a host says', () => {
    expect(look('a<a b<c c<b', 'b')).toBe('abc at b not ');
    const ring = [between('x', 'y'), between('y', 'x')];
    expect(look('a b<x', 'y', { snapshots: ring })).toBe('ab at b not ');
  });
});
