// Assembles pulse.S with binutils and writes the ROM into pulse-code.ts. Run it after a change to pulse.S or font.S:
//   node src/guest/pulse/build.mjs
// The test of this folder assembles again and compares, so the two cannot drift apart.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = dirname(fileURLToPath(import.meta.url));
const COLUMNS = 100;

/** The 4 KiB that end the ROM, freshly assembled. Throws when `as`, `ld` or `objcopy` are missing or refuse. */
export function assemblePulse() {
  const scratch = mkdtempSync(join(tmpdir(), 'pulse-'));
  const run = (tool, ...args) =>
    execFileSync(tool, args, { cwd: FOLDER, stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const object = join(scratch, 'pulse.o');
    const linked = join(scratch, 'pulse.elf');
    const binary = join(scratch, 'pulse.bin');
    run('as', '--32', '-o', object, 'pulse.S');
    run('ld', '-m', 'elf_i386', '-Ttext=0xff000', '--entry=0', '-o', linked, object);
    run('objcopy', '-O', 'binary', '-j', '.text', linked, binary);
    return new Uint8Array(readFileSync(binary));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function moduleText(bytes) {
  const base64 = Buffer.from(bytes).toString('base64');
  const lines = base64.match(new RegExp(`.{1,${COLUMNS}}`, 'g'));
  return [
    '// Written by build.mjs from pulse.S; do not edit. The last 4 KiB of the ROM as base64.',
    '',
    'export const PULSE_CODE_BASE64 = [',
    ...lines.map((line) => `  '${line}',`),
    "].join('');",
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const bytes = assemblePulse();
  writeFileSync(join(FOLDER, 'pulse-code.ts'), moduleText(bytes));
  const end = bytes.subarray(0, 0xff0).findLastIndex((byte) => byte !== 0xff) + 1;
  console.log(`pulse: ${end} of ${0xff0} bytes used`);
}
