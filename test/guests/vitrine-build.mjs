// Assembles vitrine.S with binutils into vitrine-program.mjs. Run it after a change of the source:
//   node test/guests/vitrine-build.mjs
// A test assembles again and compares.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = dirname(fileURLToPath(import.meta.url));
const COLUMNS = 100;

/** The program, freshly assembled: a static ELF file. Throws when `as` or `ld` are missing or refuse. */
export function assembleVitrine() {
  const scratch = mkdtempSync(join(tmpdir(), 'vitrine-'));
  const run = (tool, ...args) =>
    execFileSync(tool, args, { cwd: FOLDER, stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const object = join(scratch, 'vitrine.o');
    const linked = join(scratch, 'vitrine');
    run('as', '--32', '-o', object, 'vitrine.S');
    run('ld', '-m', 'elf_i386', '-s', '-n', '--build-id=none', '-o', linked, object);
    return new Uint8Array(readFileSync(linked));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const base64 = Buffer.from(assembleVitrine()).toString('base64');
  const lines = base64.match(new RegExp(`.{1,${COLUMNS}}`, 'g'));
  writeFileSync(
    join(FOLDER, 'vitrine-program.mjs'),
    [
      '// Written by vitrine-build.mjs from vitrine.S; do not edit. The program for the Linux guest as base64.',
      '',
      'export const VITRINE_PROGRAM_BASE64 = [',
      ...lines.map((line) => `  '${line}',`),
      "].join('');",
      '',
    ].join('\n'),
  );
}
