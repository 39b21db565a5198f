// What a host says of a machine, in words.

import { expect, it } from 'vitest';
import { factRows } from '../../src/bridge/fact-rows.ts';

it('names facts in words, with reasons behind what they are of', () => {
  expect(
    factRows(
      {
        usedMemoryBytes: 46_018_560,
        restoresInPlace: true,
        restoresInPlaceBecause: 'Pulse went on with the next value',
        sharesRam: false,
        accelerator: 'tcg',
        acceleratorBecause: '',
        endedBecause: 'nobody knows',
        pid: 7,
        parent: null,
        ended: '',
      },
      (bytes) => `${bytes} bytes`,
    ),
  ).toEqual([
    ['accelerator', 'tcg'],
    ['parent', '-'],
    ['pid', '7'],
    ['restores in place', 'yes: Pulse went on with the next value'],
    ['shares ram', 'no'],
    ['used memory', '46018560 bytes'],
  ]);
});
