// Finds the QEMUs that the host bridge is tested against: the installed one, which Debian's packages give where we are
// allowed to install them, and newer ones that `npm run qemu:backports` unpacked.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchedQemus } from './qemu-backports.mjs';

const INSTALL_TIMEOUT_MS = 10 * 60_000;
const TRIAL_TIMEOUT_MS = 60_000;
const MIB = 2 ** 20;
/** Where files are memory, and so much that a few machines of tests and what a host keeps free fit in. */
const MEMORY_FILES = '/dev/shm';
const ROOM_BYTES = 1024 * MIB;
const BACKPORTS = fileURLToPath(new URL('qemu-backports.mjs', import.meta.url));
const INSTALLED = 'qemu-system-x86_64';
const PACKAGES = ['qemu-system-x86', 'qemu-utils'];

/** Every QEMU found: its version, its program, and its `qemu-img`. The installed one first. */
export function findQemus() {
  const folders = [{ program: INSTALLED, image: 'qemu-img' }].concat(
    fetchedQemus().map(({ bin }) => ({
      program: join(bin, 'qemu-system-x86_64'),
      image: join(bin, 'qemu-img'),
    })),
  );
  return folders.flatMap(({ program, image }) => {
    const version = versionOf(program);
    return version === undefined || versionOf(image) === undefined ? [] : [{ version, program, image }];
  });
}

/** Undefined when there is one, after trying to install it; else what a person can do. */
export async function ensureQemu(run) {
  if (process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
    if (!findQemus().some(({ program }) => program === INSTALLED)) {
      const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: INSTALL_TIMEOUT_MS };
      await run('apt-get', ['-q', 'update'], options);
      await run('apt-get', ['-q', 'install', '-y', '--no-install-recommends', ...PACKAGES], options);
    }
    // One beside it is welcome and not needed: `tellQemus` says what is there.
    if (!hasNewer()) await run('node', [BACKPORTS], { timeoutMs: INSTALL_TIMEOUT_MS });
  }
  if (findQemus().length > 0) return undefined;
  return `QEMU is not installed: install ${PACKAGES.join(' and ')} (Debian: apt-get install ${PACKAGES.join(' ')}).`;
}

/** One line for people: what is there and what is not. */
export function tellQemus() {
  const found = findQemus();
  const versions = found.map(({ version, program }) => `${version} (${program})`).join(', ');
  const newer = hasNewer() ? '' : ' NO QEMU 10: npm run qemu:backports fetches one.';
  const fault = found.length === 0 ? undefined : kvmFault(found[0].program);
  const kvm = fault === undefined ? '' : ` NO KVM, ITS TESTS ARE SKIPPED: ${fault}.`;
  const faults = found.map(({ program }) => pageFaultsFault(program)).find((one) => one !== undefined);
  const lazy =
    faults === undefined ? '' : ` NO LAZY RESTORES AND LIVE SAVES, THEIR TESTS ARE SKIPPED: ${faults}.`;
  return `QEMU: ${found.length === 0 ? 'NONE' : versions}.${newer}${kvm}${lazy}`;
}

/** Why this QEMU makes no machine with KVM here; undefined where it does, which says nothing of what runs in it. */
export function kvmFault(program) {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch ({ code }) {
    return `/dev/kvm: ${code}`;
  }
  const machine = ['-accel', 'kvm', '-machine', 'none', '-nodefaults', '-display', 'none', '-S'];
  const options = { input: 'quit\n', encoding: 'utf8', timeout: TRIAL_TIMEOUT_MS };
  const { status, stderr } = spawnSync(program, [...machine, '-monitor', 'stdio'], options);
  return status === 0 ? undefined : stderr.trim().replaceAll('\n', '; ') || 'QEMU did not answer';
}

/** Why this QEMU cannot serve page faults of RAM by itself here, as lazy restores and live saves need; undefined where it can. */
export function pageFaultsFault(program) {
  const roomBytes = existsSync(MEMORY_FILES) ? freeBytesIn(MEMORY_FILES) : 0;
  if (roomBytes < ROOM_BYTES) return `${MEMORY_FILES} has room for ${Math.floor(roomBytes / MIB)} MiB`;
  const set = (capability, state) => ({
    execute: 'migrate-set-capabilities',
    arguments: { capabilities: [{ capability, state }] },
  });
  const commands = [
    { execute: 'qmp_capabilities' },
    set('postcopy-ram', true),
    set('postcopy-ram', false),
    set('background-snapshot', true),
    { execute: 'quit' },
  ];
  const machine = ['-machine', 'none', '-nodefaults', '-display', 'none', '-S', '-qmp', 'stdio'];
  const input = commands.map((command) => `${JSON.stringify(command)}\n`).join('');
  const { stdout } = spawnSync(program, machine, { input, encoding: 'utf8', timeout: TRIAL_TIMEOUT_MS });
  const answers = stdout.split('\n').filter((line) => line.startsWith('{'));
  return answers.map((line) => JSON.parse(line).error?.desc).find((said) => said !== undefined);
}

function freeBytesIn(path) {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

function hasNewer() {
  return findQemus().some(({ version }) => Number.parseInt(version, 10) >= 10);
}

function versionOf(program) {
  const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return status === 0 ? /version (\d+\.\d+\.\d+)/.exec(stdout)?.[1] : undefined;
}
