// `vitrine peek --map`, `--registers` and `vitrine poke`: where memory lies, and bytes into it.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { grantOf } from '../../../src/bridge/grant.ts';
import { openServedFlat, type ServedFlat } from './served-flat.ts';

let served: ServedFlat;
beforeAll(async () => {
  served = await openServedFlat({ alpha: 16 });
});
afterAll(() => served.close());
beforeEach(() => {
  served.grant = undefined;
});

const bytesAt = (at: number, length: number): number[] => [
  ...served.host.flat.get('alpha')!.memory.subarray(at, at + length),
];

describe('peek', () => {
  it('tells where memory lies, of a machine and of a snapshot', async () => {
    const table = /^REGION +KIND +FROM +TO +SIZE +PAGE\nram +ram +0x0 +0xffff +64 KiB +4 KiB\n$/;
    expect((await served.vitrine('peek', 'alpha', '--map')).out).toMatch(table);
    await served.vitrine('save', 'alpha', '--label', 'mapped');
    expect((await served.vitrine('peek', 'mapped', '--map')).out).toMatch(table);
    expect(await served.json('peek', 'mapped', '--map')).toMatchObject({
      snapshot: expect.stringMatching(/^[0-9a-f]{64}$/),
      regions: [{ name: 'ram', kind: 'ram', guestAddress: 0, sizeBytes: 65_536, pageBytes: 4096 }],
    });
  });

  it('says so where there are no registers to tell, and where a line makes no sense', async () => {
    expect((await served.vitrine('peek', 'alpha', '--registers')).error).toMatch(/^vitrine: unsupported: /);
    await served.vitrine('save', 'alpha', '--label', 'at rest');
    for (const args of [
      ['at rest', '--registers'],
      ['alpha', '--map', '--registers'],
      ['alpha', '0', '1', '--map'],
      ['alpha', 'ram+0', '1', '--virtual'],
    ]) {
      expect({ args, code: (await served.vitrine('peek', ...args)).code }).toEqual({ args, code: 2 });
    }
  });
});

describe('poke', () => {
  it('writes hexadecimal, text and files, which the next save has', async () => {
    const { vitrine, json, folder } = served;
    expect(await vitrine('poke', 'alpha', '0x1000', '--hex', 'de AD be ef')).toMatchObject({
      code: 0,
      out: '',
      error: 'alpha: 4 B written\n',
    });
    expect(bytesAt(0xfff, 6)).toEqual([0, 0xde, 0xad, 0xbe, 0xef, 0]);
    expect(await json('poke', 'alpha', 'ram+0x2000', '--text', 'hé')).toEqual({
      ...{ machine: 'alpha', region: 'ram', offsetBytes: 0x2000, lengthBytes: 3 },
    });
    expect(bytesAt(0x2000, 4)).toEqual([0x68, 0xc3, 0xa9, 0]);
    const file = join(folder, 'patch.bin');
    await writeFile(file, new Uint8Array(16_384).fill(7));
    expect((await vitrine('poke', 'alpha', '0x8000', '-i', file)).code).toBe(0);
    expect(bytesAt(0x7fff, 16_386)).toEqual([0, ...Array(16_384).fill(7), 0]);
    await vitrine('save', 'alpha', '--label', 'poked');
    expect((await json('peek', 'poked', '0x1000', '4')).hex).toBe('deadbeef');
  });

  it('writes nothing where it is not told what and where', async () => {
    const { vitrine, folder } = served;
    const file = join(folder, 'long.bin');
    await writeFile(file, new Uint8Array(16_385));
    const before = bytesAt(0, 65_536);
    const refused: [string[], number][] = [
      [['0x3000'], 2],
      [['0x3000', '--hex', 'abc'], 2],
      [['0x3000', '--hex', 'zz'], 2],
      [['0x3000', '--hex', ''], 2],
      [['0x3000', '--hex', '00', '--text', 'x'], 2],
      [['here', '--hex', '11'], 2],
      [['0x3000', '-i', file], 2],
      [['0x3000', '-i', join(folder, 'nothing')], 3],
      [['0xffff', '--hex', '1122'], 1],
      [['vram+0', '--hex', '11'], 1],
    ];
    for (const [args, code] of refused) {
      expect({ args, code: (await vitrine('poke', 'alpha', ...args)).code }).toEqual({ args, code });
    }
    expect((await vitrine('poke', 'nobody', '0', '--hex', '11')).code).toBe(3);
    served.grant = grantOf('student', { alpha: ['observe', 'peek', 'save', 'restore'] });
    expect((await vitrine('poke', 'alpha', '0x3000', '--hex', '11')).code).toBe(6);
    expect(bytesAt(0, 65_536)).toEqual(before);
  });
});
