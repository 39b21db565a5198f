// Compiles tally.c with Debian's gcc-arm-none-eabi and writes the program into tally-code.ts. Run it after a change:
//   node src/guest/rp2040/tally/build.mjs
// A test compiles again and compares, where the same compiler is there; another compiler's program has to behave alike.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = dirname(fileURLToPath(import.meta.url));
const COLUMNS = 100;
const FLAGS = [
  ...['-mcpu=cortex-m0plus', '-mthumb', '-Os', '-std=c11', '-Wall', '-Wextra', '-Werror'],
  // No library: nothing may turn into a call of memset, and nothing into a table of jumps in one.
  ...['-ffreestanding', '-nostdlib', '-fno-tree-loop-distribute-patterns', '-fno-jump-tables'],
  ...['-Wl,-T,tally.ld', '-Wl,--build-id=none', '-Wl,--no-warn-rwx-segments'],
];

/** The compiler's version, or undefined where there is none. */
export function armCompilerVersion() {
  try {
    return execFileSync('arm-none-eabi-gcc', ['-dumpfullversion'], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}

/** The program as it lies in flash from 0x10000000 on. Throws when the compiler is missing or refuses. */
export function compileTally() {
  const scratch = mkdtempSync(join(tmpdir(), 'tally-'));
  const run = (tool, ...args) =>
    execFileSync(`arm-none-eabi-${tool}`, args, { cwd: FOLDER, stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const linked = join(scratch, 'tally.elf');
    const binary = join(scratch, 'tally.bin');
    run('gcc', ...FLAGS, '-o', linked, 'tally.c', '-lgcc');
    run('objcopy', '-O', 'binary', '-j', '.text', linked, binary);
    return new Uint8Array(readFileSync(binary));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function moduleText(bytes) {
  const base64 = Buffer.from(bytes).toString('base64');
  return [
    '// Written by build.mjs from tally.c; do not edit. The program as base64, and the compiler that made it.',
    '',
    `export const TALLY_COMPILER = '${armCompilerVersion()}';`,
    '',
    'export const TALLY_CODE_BASE64 = [',
    ...base64.match(new RegExp(`.{1,${COLUMNS}}`, 'g')).map((line) => `  '${line}',`),
    "].join('');",
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const bytes = compileTally();
  writeFileSync(join(FOLDER, 'tally-code.ts'), moduleText(bytes));
  console.log(`tally: ${bytes.length} bytes`);
}
