// What a process's memory is mapped from, in the words of `/proc/PID/maps`.

import { describe, expect, it } from 'vitest';
import { mappedIn } from '../../../src/host/qemu/mapping.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';

const MAPS = `55d0c0000000-55d0c0001000 r--p 00000000 08:01 77                         /usr/bin/qemu
7f0000000000-7f0000400000 rw-s 00000000 00:1b 10                         /dev/shm/vitrine/ram
7f0000400000-7f0000800000 rw-s 00400000 00:1b 10                         /dev/shm/vitrine/ram
7f0000800000-7f0000c00000 rw-p 00000000 00:00 0 
7f0001000000-7f0001400000 r--s 00000000 00:1b 11                         /dev/shm/other
`;

const at = (from: number, to: number) => ({ from: 0x7f00_0000_0000 + from, to: 0x7f00_0000_0000 + to });

describe('a mapped range', () => {
  it('is told by its kind and its file system, over several mappings', () => {
    expect(mappedIn(MAPS, at(0, 0x800000))).toEqual({ kind: 'shared', device: '0:27' });
    expect(mappedIn(MAPS, at(0x900000, 0xa00000))).toEqual({ kind: 'private', device: '0:0' });
  });

  it('is neither where its parts differ', () => {
    expect(mappedIn(MAPS, at(0x400000, 0xc00000))).toEqual({ kind: null, device: null });
  });

  it('is refused where something is missing of it, or cannot be written', async () => {
    expect(await codeOf(() => mappedIn(MAPS, at(0xb00000, 0xd00000)))).toBe('guest-failed');
    expect(await codeOf(() => mappedIn(MAPS, at(0x1000000, 0x1400000)))).toBe('guest-failed');
  });
});
