// Machine state out of qcow2 files, against the images that we write ourselves; QEMU's are read in test/qemu.

import { describe, expect, it } from 'vitest';
import { isVitrineError } from '../../../src/base/error.ts';
import { vmstateImage } from '../../../src/host/qemu/qcow2.ts';
import { readVmstate } from '../../../src/host/qemu/vmstate-reader.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';
import { Random } from '../../../src/testing/random.ts';
import { seedOfRun } from '../../support/seed.ts';

describe('machine state in a qcow2 file', () => {
  it('comes out as it went in, whatever its length', () => {
    for (const length of [1, 4095, 65_536, 65_537, 700_001]) {
      const state = Uint8Array.from({ length }, (_, at) => (at * 31) ^ (at >> 9));
      expect(Buffer.compare(readVmstate(vmstateImage([state], 'a tag'), 'a tag'), state)).toBe(0);
    }
  });

  it('is not found under another tag', async () => {
    const image = vmstateImage([Uint8Array.of(1)], 'one');
    expect(await codeOf(() => readVmstate(image, 'two'))).toBe('not-found');
  });

  it('of a damaged or cut file is a typed error, or bytes, and never more memory than the file', () => {
    const good = vmstateImage([new Uint8Array(100_000).fill(1)], 's');
    const random = new Random(seedOfRun());
    const draw = (limit: number): number => random.below(limit);
    for (let round = 0; round < 300; round++) {
      const image = round % 3 === 0 ? good.slice(0, draw(good.length)) : good.slice();
      if (round % 3 !== 0) {
        for (let flips = 0; flips < 4; flips++) image[draw(Math.min(image.length, 8 * 65_536))] = draw(256);
        // Header, snapshot table and tables are where damage counts.
        image[draw(104)] = draw(256);
      }
      try {
        expect(readVmstate(image, 's').length).toBeLessThanOrEqual(image.length);
      } catch (error) {
        if (!isVitrineError(error)) throw error;
      }
    }
  });
});
