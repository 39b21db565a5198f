// Page walks over tables made by hand, in every form that x86 has.

import { describe, expect, it } from 'vitest';
import { type AddressSpace, addressSpaceOf, translate } from '../../../src/host/forensics/page-walk.ts';
import { PhysicalMemory } from '../../../src/host/forensics/physical-memory.ts';
import { VirtualMemory } from '../../../src/host/forensics/virtual-memory.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';
import { Random } from '../../../src/testing/random.ts';
import { seedOfRun } from '../../support/seed.ts';

const SIZE = 0x10_0000;
const PRESENT = 3n;
const LARGE = 0x83n;

/** A mebibyte of RAM with these words in it. */
function memoryWith(entries: readonly (readonly [number, bigint])[], entryBytes: 4 | 8): PhysicalMemory {
  const bytes = new Uint8Array(SIZE);
  const view = new DataView(bytes.buffer);
  for (const [at, value] of entries) {
    if (entryBytes === 8) view.setBigUint64(at, value, true);
    else view.setUint32(at, Number(value), true);
  }
  return memoryOf(bytes);
}

function memoryOf(bytes: Uint8Array): PhysicalMemory {
  const range = { address: 0, lengthBytes: bytes.length };
  return new PhysicalMemory([range], async (at, length) => bytes.slice(at, at + length));
}

const at = async (memory: PhysicalMemory, space: AddressSpace, virtual: bigint) =>
  (await translate(memory, space, virtual))?.address;

describe('a page walk', () => {
  it('without paging is none', async () => {
    const space = addressSpaceOf({ cr0: 1n, cr3: 0x1000n, cr4: 0n, efer: 0n });
    expect(space.paging).toBe('none');
    expect(await translate(memoryWith([], 4), space, 0x1234n)).toEqual({
      address: 0x1234,
      lengthBytes: 0xdcc,
    });
  });

  it('of 32 bits has two levels, and 4 MiB pages with PSE alone', async () => {
    const memory = memoryWith(
      [
        [0x1000 + 4 * 0x301, 0x2000n | PRESENT],
        [0x2000 + 4 * 0x005, 0x7000n | PRESENT],
        [0x1000 + 4 * 0x302, 0x40_0000n | LARGE],
        [0x1000 + 4 * 0x303, 0x40_0000n | (1n << 13n) | LARGE],
        [0x1000 + 4 * 0x304, 0x2000n],
      ],
      4,
    );
    const control = { cr0: 0x8000_0001n, cr3: 0x1018n, efer: 0n };
    const pse = addressSpaceOf({ ...control, cr4: 0x10n });
    expect(pse).toEqual({ paging: '32-bit', root: 0x1000, pse: true });
    expect(await translate(memory, pse, 0xc040_5abcn)).toEqual({ address: 0x7abc, lengthBytes: 0x544 });
    expect(await translate(memory, pse, 0xc081_2345n)).toEqual({
      address: 0x41_2345,
      lengthBytes: 0x3e_dcbb,
    });
    expect(await at(memory, pse, 0xc0c0_0001n)).toBe(0x1_0040_0001);
    expect(await at(memory, pse, 0xc100_0000n)).toBe(undefined);
    expect(await at(memory, pse, 0xc040_6000n)).toBe(undefined);
    expect(await at(memory, pse, 0x1_c040_5abcn)).toBe(undefined);
    // Without PSE that entry names a table, which lies outside RAM.
    expect(await at(memory, addressSpaceOf({ ...control, cr4: 0n }), 0xc081_2345n)).toBe(undefined);
  });

  it('with PAE has three levels, the first of four entries', async () => {
    const memory = memoryWith(
      [
        [0x1020 + 8 * 3, 0x2000n | 1n],
        [0x2000 + 8 * 0x002, 0x3000n | PRESENT],
        [0x3000 + 8 * 0x005, 0x8000_0000_0000_9000n | PRESENT],
        [0x2000 + 8 * 0x003, 0x1_2340_0000n | LARGE],
      ],
      8,
    );
    const space = addressSpaceOf({ cr0: 0x8000_0001n, cr3: 0x1020n, cr4: 0x30n, efer: 0n });
    expect(space).toEqual({ paging: 'pae', root: 0x1020 });
    expect(await at(memory, space, 0xc040_5abcn)).toBe(0x9abc);
    expect(await at(memory, space, 0xc06f_edcbn)).toBe(0x1_234f_edcb);
    expect(await at(memory, space, 0x0040_5abcn)).toBe(undefined);
  });

  it('of 64 bits has four levels or five, and pages of 2 MiB and 1 GiB', async () => {
    const memory = memoryWith(
      [
        [0x1000 + 8 * 0x1ff, 0x2000n | PRESENT],
        [0x2000 + 8 * 0x1fe, 0x3000n | PRESENT],
        [0x3000 + 8 * 0x008, 0x4000n | PRESENT],
        [0x4000 + 8 * 0x001, 0xa000n | PRESENT],
        [0x3000 + 8 * 0x009, 0x20_0000n | LARGE],
        [0x2000 + 8 * 0x1ff, 0x8000_0000n | LARGE],
        [0x5000 + 8 * 0x1ff, 0x1000n | PRESENT],
      ],
      8,
    );
    const four = addressSpaceOf({ cr0: 0x8000_0001n, cr3: 0x1000n, cr4: 0x20n, efer: 0x500n });
    expect(four).toEqual({ paging: '4-level', root: 0x1000 });
    expect(await at(memory, four, 0xffff_ffff_8100_1123n)).toBe(0xa123);
    expect(await at(memory, four, 0xffff_ffff_8123_4567n)).toBe(0x23_4567);
    expect(await at(memory, four, 0xffff_ffff_c123_4567n)).toBe(0x8123_4567);
    expect(await at(memory, four, 0x0000_ffff_8100_1123n)).toBe(undefined);
    const five = addressSpaceOf({ cr0: 0x8000_0001n, cr3: 0x5fffn, cr4: 0x1020n, efer: 0x500n });
    expect(five).toEqual({ paging: '5-level', root: 0x5000 });
    expect(await at(memory, five, 0xffff_ffff_8100_1123n)).toBe(0xa123);
    expect(await at(memory, five, 0x00ff_ffff_8100_1123n)).toBe(undefined);
  });

  it('joins neighbours, and names the first address that is not there', async () => {
    const memory = memoryWith(
      [
        [0x1000, 0x2000n | PRESENT],
        [0x2000 + 4 * 1, 0x7000n | PRESENT],
        [0x2000 + 4 * 2, 0x8000n | PRESENT],
        [0x2000 + 4 * 3, 0x5000n | PRESENT],
      ],
      4,
    );
    const virtual = new VirtualMemory(memory, { paging: '32-bit', root: 0x1000 });
    expect(await virtual.ranges(0x1800n, 0x2000)).toEqual([
      { address: 0x7800, lengthBytes: 0x1800 },
      { address: 0x5000, lengthBytes: 0x800 },
    ]);
    const error = await virtual.read(0x3000n, 0x1001).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'span-out-of-range', data: { virtual: '0x4000' } });
  });

  it('over any bytes is an address or nothing', async () => {
    const random = new Random(seedOfRun());
    const memory = memoryOf(random.bytes(SIZE));
    for (let round = 0; round < 500; round++) {
      const space: AddressSpace = {
        paging: random.pick(['none', '32-bit', 'pae', '4-level', '5-level'] as const),
        root: random.below(2 * SIZE) & ~0xfff,
        pse: random.chance(0.5),
      };
      const virtual = (BigInt(random.u32()) << 32n) | BigInt(random.u32());
      const code = await codeOf(() =>
        translate(memory, space, random.chance(0.5) ? virtual : virtual >> 32n),
      );
      expect(code).toBe('none');
    }
  });
});
