// Guest addresses against file offsets, out of what QEMU prints: texts as 7.2 and 10.0 print them, and some they must not.

import { describe, expect, it } from 'vitest';
import { addressOfOffset, offsetOfAddress, ramRangesIn } from '../../../src/host/qemu/physmap.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const SMALL = `FlatView #1
 AS "memory", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): pc.ram KVM
  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom KVM
  00000000000e0000-00000000000effff (prio 0, rom): pc.ram @00000000000e0000
  00000000000f0000-00000000000fffff (prio 0, rom): pc.bios
  0000000000100000-0000000007ffffff (prio 0, ram): pc.ram @0000000000100000 KVM
  00000000fec00000-00000000fec00fff (prio 0, i/o): ioapic

FlatView #2
 AS "cpu-smm-0", root: memory
  0000000000000000-00000000000bffff (prio 0, ram): pc.ram
`;

/** 3 GiB on q35: the hole begins at 2 GiB. */
const LARGE = `  0000000000000000-000000000009ffff (prio 0, ram): pc.ram
  0000000000100000-000000007fffffff (prio 0, ram): pc.ram @0000000000100000
  0000000100000000-000000013fffffff (prio 0, ram): pc.ram @0000000080000000
`;

describe('the physical map', () => {
  it('of a small machine is one range, whatever covers parts of it', () => {
    expect(ramRangesIn(SMALL, 128 * MIB)).toEqual([
      { guestAddress: 0, offsetBytes: 0, sizeBytes: 128 * MIB },
    ]);
  });

  it('of a large machine goes on at 4 GiB', () => {
    const ranges = ramRangesIn(LARGE, 3 * GIB);
    expect(ranges).toEqual([
      { guestAddress: 0, offsetBytes: 0, sizeBytes: 2 * GIB },
      { guestAddress: 4 * GIB, offsetBytes: 2 * GIB, sizeBytes: GIB },
    ]);
    expect(offsetOfAddress(ranges, 2 * GIB - 1)).toBe(2 * GIB - 1);
    expect(offsetOfAddress(ranges, 2 * GIB)).toBe(undefined);
    expect(offsetOfAddress(ranges, 4 * GIB - 1)).toBe(undefined);
    expect(offsetOfAddress(ranges, 4 * GIB + 5)).toBe(2 * GIB + 5);
    expect(offsetOfAddress(ranges, 5 * GIB)).toBe(undefined);
    expect(addressOfOffset(ranges, 2 * GIB - 1)).toBe(2 * GIB - 1);
    expect(addressOfOffset(ranges, 2 * GIB)).toBe(4 * GIB);
    expect(addressOfOffset(ranges, 3 * GIB)).toBe(undefined);
  });

  const refused: [string, string, number][] = [
    ['nothing', '', 128 * MIB],
    ['less than all', SMALL, 256 * MIB],
    ['more than all', SMALL, 64 * MIB],
    ['another block', SMALL.replaceAll('pc.ram', 'ram0'), 128 * MIB],
    ['RAM that does not begin at 0', LARGE.replace(/.*\n/, '').replace(/.*\n/, ''), GIB],
    ['a gap in the file', LARGE.replace('@0000000080000000', '@00000000a0000000'), 3 * GIB],
    [
      'a third range',
      `${LARGE}  0000010000000000-000001003fffffff (prio 0, ram): pc.ram @00000000c0000000\n`,
      4 * GIB,
    ],
  ];
  for (const [what, text, memoryBytes] of refused) {
    it(`refuses ${what}`, async () => {
      expect(await codeOf(() => ramRangesIn(text, memoryBytes))).toBe('unsupported');
    });
  }
});
