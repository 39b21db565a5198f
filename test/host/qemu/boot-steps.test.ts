// The ROM of boot-steps.S: what stands in the repository is what the source says.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { BOOT_STEPS_CODE_BASE64, bootStepsRom } from '../../../src/host/qemu/boot-steps.ts';

const SOURCE = fileURLToPath(new URL('../../../src/host/qemu/boot-steps.S', import.meta.url));
/** Linkers of other processors know no x86. */
const hasBinutils =
  process.arch === 'x64' &&
  ['as', 'ld', 'objcopy'].every((tool) => spawnSync(tool, ['--version']).status === 0);

// Without binutils the source cannot be assembled; the ROM is in the repository.
it.skipIf(!hasBinutils)('is what its source assembles to', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-boot-steps-'));
  try {
    const [object, linked, binary] = ['a.o', 'a.elf', 'a.bin'].map((name) => join(folder, name));
    execFileSync('as', ['--64', '-o', object!, SOURCE]);
    execFileSync('ld', ['-m', 'elf_x86_64', '-Ttext=0', '--entry=0', '-o', linked!, object!]);
    execFileSync('objcopy', ['-O', 'binary', '-j', '.text', linked!, binary!]);
    expect((await readFile(binary!)).toString('base64')).toBe(BOOT_STEPS_CODE_BASE64);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

it('is 64 KiB and begins with a far jump to its first byte', () => {
  const rom = bootStepsRom();
  expect(rom.length).toBe(65_536);
  expect([...rom.subarray(0xfff0, 0xfff5)]).toEqual([0xea, 0, 0, 0, 0xf0]);
});
