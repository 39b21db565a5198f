// What a range of a process's memory is mapped from, as `/proc/PID/maps` tells: whether writes go to a file, and which file system
// that is in.

import { readFileSync } from 'node:fs';
import { VitrineError } from '../../base/error.ts';
import type { MappingKind } from './page-map.ts';

/** A range of a process's addresses. */
export interface AddressRange {
  readonly from: number;
  readonly to: number;
}

/** What is behind a range. */
export interface MappedRange {
  /** Null where one part is this and another that. */
  readonly kind: MappingKind | null;
  /** The device of its file's file system, as `maps` and `mountinfo` write it; null where parts differ. */
  readonly device: string | null;
}

const LINE = /^([0-9a-f]+)-([0-9a-f]+) rw.([sp]) [0-9a-f]+ ([0-9a-f]+):([0-9a-f]+) /;

/** Throws `guest-failed` unless writable mappings, one after another, cover the range; what the file system throws. */
export function mappedRange(pid: number, range: AddressRange): MappedRange {
  return mappedIn(readFileSync(`/proc/${pid}/maps`, 'latin1'), range, pid);
}

/** As `mappedRange`, from the text of `maps`. */
export function mappedIn(maps: string, { from, to }: AddressRange, pid = 0): MappedRange {
  const kinds = new Set<MappingKind>();
  const devices = new Set<string>();
  let at = from;
  for (const line of maps.split('\n')) {
    const found = LINE.exec(line);
    if (found === null) continue;
    const mapping = { from: Number.parseInt(found[1]!, 16), to: Number.parseInt(found[2]!, 16) };
    if (at >= to || mapping.from > at || at >= mapping.to) continue;
    at = mapping.to;
    kinds.add(found[3] === 's' ? 'shared' : 'private');
    devices.add(`${Number.parseInt(found[4]!, 16)}:${Number.parseInt(found[5]!, 16)}`);
  }
  if (at < to) throw new VitrineError('guest-failed', { reason: 'RAM is not mapped in one piece', pid });
  return { kind: theOnly(kinds), device: theOnly(devices) };
}

/** A file system, as `mountinfo` tells; undefined for one that is mounted nowhere, as that of a memfd. */
export function mountOf(device: string): { readonly type: string; readonly options: string[] } | undefined {
  for (const line of readFileSync('/proc/self/mountinfo', 'latin1').split('\n')) {
    const [before, after] = line.split(' - ');
    if (after === undefined || before?.split(' ')[2] !== device) continue;
    const [type = '', , options = ''] = after.split(' ');
    return { type, options: options.split(',') };
  }
  return undefined;
}

function theOnly<T>(found: ReadonlySet<T>): T | null {
  return found.size === 1 ? [...found][0]! : null;
}
