// Finds the compiler for the RP2040's firmware, and installs Debian's where we are allowed to. One test needs it: that
// Tally's program is what its source compiles to; the program itself is in the repository.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const INSTALL_TIMEOUT_MS = 10 * 60_000;
const PACKAGE = 'gcc-arm-none-eabi';

/** Whether it is there. */
export function hasArmCompiler() {
  return spawnSync('arm-none-eabi-gcc', ['--version']).status === 0;
}

/** Undefined when it is there, after trying to install it; else what a person can do. */
export async function ensureArmCompiler(run) {
  if (hasArmCompiler()) return undefined;
  if (process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
    const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: INSTALL_TIMEOUT_MS };
    await run('apt-get', ['-q', 'update'], options);
    await run('apt-get', ['-q', 'install', '-y', '--no-install-recommends', PACKAGE], options);
    if (hasArmCompiler()) return undefined;
  }
  return `Tally is not compiled again: install ${PACKAGE} (Debian: apt-get install ${PACKAGE}).`;
}
