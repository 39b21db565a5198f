// Whether a host has room for a machine that sends its memory.

import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { MIB } from '../../../src/base/limits.ts';
import { whyNoRoom } from '../../../src/host/qemu/live-room.ts';

describe('room for a machine that sends its memory', () => {
  it.each([tmpdir(), '/dev/shm'])('is asked of where its RAM lies, in %s', (path) => {
    expect(whyNoRoom(path, 0)).toBeUndefined();
    expect(whyNoRoom(path, 1024 ** 5)).toContain(`${1024 ** 3} MiB more`);
  });

  it('in memory is what the host has left, too', () => {
    // Beyond any host's memory, and on the way to it there is a bound.
    let mib = 1;
    while (whyNoRoom('/dev/shm', mib * MIB) === undefined) mib *= 2;
    expect(mib * MIB).toBeLessThan(1024 ** 5);
  });
});
