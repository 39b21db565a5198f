// A System.map, read and used on memory that lies; on a real kernel's memory it is used in `test/qemu`.

import { describe, expect, it } from 'vitest';
import { LinuxKernel } from '../../../src/host/forensics/linux-kernel.ts';
import { PhysicalMemory } from '../../../src/host/forensics/physical-memory.ts';
import { SystemMap } from '../../../src/host/forensics/system-map.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';

const WIDE = `0000000000000000 A fixed_percpu_data
000000000001d000 D cpu_info
ffffffff81000000 T _stext
ffffffff82000320 R linux_banner
ffffffff82810000 D init_top_pgt
ffffffff81000000 T _stext
ffffffffc0123000 t helper	[module]
not a line
`;

/** Where the image is, and its banner. */
const IMAGE = 0x20_0000;
const BANNER_AT = IMAGE + 0x3320;
const ROOT = IMAGE + 0x10_0000;
const SIZE = 0x40_0000;
const NARROW = `c1000000 T _stext
c1003320 R linux_banner
c1100000 D swapper_pg_dir
c1005000 D init_uts_ns
`;

/** A kernel of 32 bits without notes: four large pages map all that there is at 3 GiB. */
function image(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SIZE);
  put(bytes, BANNER_AT, 'Linux version 5.4.0-mute (someone)\n');
  put(bytes, IMAGE + 0x5004, 'Linux\0');
  put(bytes, IMAGE + 0x5004 + 130, '5.4.0-mute\0');
  new DataView(bytes.buffer).setUint32(ROOT + 4 * 0x300, 0x83, true);
  return bytes;
}

function put(bytes: Uint8Array, at: number, text: string): void {
  bytes.set(new TextEncoder().encode(text), at);
}

const memoryOf = (bytes: Uint8Array<ArrayBuffer>): PhysicalMemory =>
  new PhysicalMemory([{ address: 0, lengthBytes: bytes.length }], async (at, length) =>
    bytes.slice(at, at + length),
  );

describe('a System.map', () => {
  it('has the symbols of a build, and of a kernel that lies elsewhere', () => {
    const map = SystemMap.read(WIDE);
    expect(map.get('_stext')).toBe(0xffff_ffff_8100_0000n);
    expect(map.get('cpu_info')).toBe(0x1d000n);
    expect(map.get('helper')).toBeUndefined();
    const moved = map.movedBy(0x1f0_0000n);
    expect(moved.get('linux_banner')).toBe(0xffff_ffff_83f0_0320n);
    // What is no address is where it was.
    expect(moved.get('cpu_info')).toBe(0x1d000n);
    expect(moved.get('fixed_percpu_data')).toBe(0n);
    expect(moved.size).toBe(5);
  });

  it.each([
    ['what distributions leave in its place', 'ffffffffffffffff B The real System.map is elsewhere\n'],
    ['one whose addresses were hidden', WIDE.replace(/^\S+/gm, '0000000000000000')],
    ['nothing', ''],
    ['anything else', '\x7fELF\0\0'.repeat(10_000)],
  ])('is refused where it is %s', (_, text) => {
    expect(() => SystemMap.read(text)).toThrow(
      expect.objectContaining({
        code: 'argument-invalid',
        data: expect.objectContaining({ name: 'System.map' }),
      }),
    );
  });

  it('finds a kernel without notes, whose names stand behind a count', async () => {
    const kernel = await LinuxKernel.find(memoryOf(image()), SystemMap.read(NARROW));
    expect(await kernel.name()).toMatchObject({ system: 'Linux', release: '5.4.0-mute' });
    expect(kernel.memory.space).toEqual({ paging: '32-bit', root: ROOT, pse: true });
    expect((await kernel.symbols()).get('_stext')).toBe(0xc000_0000n + BigInt(IMAGE));
    expect(await codeOf(() => kernel.address('prb'))).toBe('not-found');
  });

  it('finds none where banner, tables or names are not where it says', async () => {
    const map = SystemMap.read(NARROW);
    const broken: ((bytes: Uint8Array<ArrayBuffer>) => void)[] = [
      (bytes) => bytes.fill(0, BANNER_AT, BANNER_AT + 1),
      (bytes) => put(bytes, BANNER_AT, 'Linux version '.padEnd(256, '\x1b')),
      (bytes) => bytes.fill(0, ROOT, ROOT + 4096),
      (bytes) => bytes.fill(0xff, ROOT, ROOT + 4096),
      (bytes) => put(bytes, IMAGE + 0x5004 + 130, '5.4.1'),
      (bytes) => bytes.fill(0, IMAGE + 0x5000, IMAGE + 0x6000),
    ];
    for (const [index, spoil] of broken.entries()) {
      const bytes = image();
      spoil(bytes);
      expect(await codeOf(() => LinuxKernel.find(memoryOf(bytes), map)), String(index)).toBe('not-found');
    }
  });

  it('is given up where a guest shows banners without an end', async () => {
    const bytes = new Uint8Array(SIZE);
    // Every page is a banner and a table that maps itself.
    for (let page = 0; page < SIZE; page += 4096) {
      new BigUint64Array(bytes.buffer, page, 512).fill(BigInt(page) | 7n);
      put(bytes, page + 0x320, 'Linux version 6.1.0 (liar)\n');
    }
    expect(await codeOf(() => LinuxKernel.find(memoryOf(bytes), SystemMap.read(WIDE)))).toBe('not-found');
  });
});
