// The program in the repository is what its source assembles to.

import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

const hasBinutils = ['as', 'ld'].every((tool) => {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});

describe('the vitrine command for Linux', () => {
  // Without binutils the source cannot be assembled; the program is in the repository.
  it.skipIf(!hasBinutils)('is what its source assembles to', async () => {
    // @ts-expect-error A build script: plain JavaScript without types.
    const { assembleVitrine } = await import('./vitrine-build.mjs');
    // @ts-expect-error What it writes, likewise.
    const { VITRINE_PROGRAM_BASE64 } = await import('./vitrine-program.mjs');
    expect(Buffer.from(assembleVitrine()).toString('base64')).toBe(VITRINE_PROGRAM_BASE64);
  });
});
