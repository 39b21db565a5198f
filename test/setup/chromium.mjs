// Finds the Chromium that the browser tests drive, and installs Debian's where we are allowed to.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

const INSTALL_TIMEOUT_MS = 10 * 60_000;

/** Where Debian and Google put it. */
const USUAL_PLACES = ['/usr/bin/chromium', '/usr/bin/google-chrome'];

/** The path of a Chromium or Chrome, or undefined. `CHROMIUM` in the environment goes first. */
export function findChromium() {
  const { CHROMIUM } = process.env;
  if (CHROMIUM !== undefined && CHROMIUM !== '') return existsSync(CHROMIUM) ? CHROMIUM : undefined;
  return [...USUAL_PLACES, ofPlaywright()].find((path) => path !== undefined && existsSync(path));
}

/** As `findChromium`, after trying to install it; when that fails too, `missing` says what a person can do. */
export async function ensureChromium(run) {
  const { CHROMIUM } = process.env;
  const found = findChromium();
  if (found !== undefined) return { path: found };
  if (CHROMIUM) return { missing: `CHROMIUM is ${CHROMIUM}, and there is no such file.` };
  if (process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
    const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: INSTALL_TIMEOUT_MS };
    await run('apt-get', ['-q', 'update'], options);
    await run('apt-get', ['-q', 'install', '-y', '--no-install-recommends', 'chromium'], options);
    const installed = findChromium();
    return installed === undefined
      ? { missing: 'Installing Debian’s chromium failed; see above. Or set CHROMIUM to a Chromium’s path.' }
      : { path: installed };
  }
  return {
    missing:
      'Install Chromium (Debian: apt-get install chromium, anywhere: npx playwright install chromium) or set ' +
      'CHROMIUM to its path.',
  };
}

function ofPlaywright() {
  try {
    return createRequire(import.meta.url)('playwright').chromium.executablePath();
  } catch {
    return undefined;
  }
}
