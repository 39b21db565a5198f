// Every mark is read, and none that is not there, whatever the map's length and place.

import { expect, it } from 'vitest';
import { addMarked } from '../../../src/guest/v86/mark-bytes.ts';
import { PageSet } from '../../../src/memory/page-set.ts';
import { Random } from '../../../src/testing/random.ts';
import { seedOfRun } from '../../support/seed.ts';

it('adds the pages whose byte is 1', () => {
  const random = new Random(seedOfRun());
  for (let round = 0; round < 300; round++) {
    const length = 1 + random.below(200);
    const offset = random.below(2) === 0 ? 0 : random.below(9);
    const map = new Uint8Array(new ArrayBuffer(length + offset), offset);
    // None, few, many or all.
    const outOf = [1, 1, 2, 20][round % 4]!;
    if (round % 4 > 0)
      for (let page = 0; page < length; page++) map[page] = random.below(outOf) === 0 ? 1 : 0;
    const pages = new PageSet(length);
    const before = random.below(length);
    pages.add(before);
    addMarked(map, pages);
    const expected = [...map.keys()].filter((page) => map[page] === 1 || page === before);
    expect([...pages], `round ${round}, ${length} bytes at ${offset}`).toEqual(expected);
  }
});
