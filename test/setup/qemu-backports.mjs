// `npm run qemu:backports`: the newer QEMU of Debian's backports in .qemu/VERSION/, beside the installed one and without
// installing anything: the tests of the host bridge run on each version they find. Run again it finds it there and does nothing.
//
// What the newer packages need and the system lacks comes with them; the rest is the system's, so the release has to be the
// same: Debian 12, whose backports these are.

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const OUT = join(ROOT, '.qemu');
const SUITE = 'bookworm-backports';
const PACKAGES = ['qemu-system-x86', 'qemu-utils'];
const PROGRAMS = ['qemu-system-x86_64', 'qemu-img'];

/** Where Debian's packages put what QEMU reads beside its program; below the unpacked root, else the system's. */
const DATA = ['usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu'];
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';

/** The folders of the versions that were fetched; each has `bin/qemu-system-x86_64` and `bin/qemu-img`. */
export function fetchedQemus() {
  if (!existsSync(OUT)) return [];
  return readdirSync(OUT)
    .filter((name) => /^\d+\.\d+/.test(name) && existsSync(join(OUT, name, 'bin', PROGRAMS.at(-1))))
    .map((name) => ({ version: name, bin: join(OUT, name, 'bin') }));
}

/** Fetches it; returns what `fetchedQemus` finds then. Throws what apt says where it cannot. */
export function fetchBackports() {
  const found = fetchedQemus();
  if (found.length > 0) return found;
  const work = join(OUT, 'apt');
  const apt = privateApt(work);
  apt('apt-get', ['-q', 'update']);
  const names = apt('apt-get', ['install', '-s', '--no-install-recommends', '-t', SUITE, ...PACKAGES])
    .split('\n')
    .map((line) => /^Inst (\S+)/.exec(line)?.[1])
    .filter((name) => name !== undefined);
  if (names.length === 0) throw new Error(`${SUITE} has no QEMU newer than the installed one`);
  apt('apt-get', [
    'install',
    '-q',
    '-y',
    '--download-only',
    '--no-install-recommends',
    '-t',
    SUITE,
    ...PACKAGES,
  ]);
  const unpacked = join(OUT, 'unpacking');
  rmSync(unpacked, { recursive: true, force: true });
  const archives = join(work, 'cache/archives');
  for (const name of readdirSync(archives).filter((name) => name.endsWith('.deb'))) {
    mkdirSync(join(unpacked, 'root'), { recursive: true });
    execFileSync('dpkg-deb', ['-x', join(archives, name), join(unpacked, 'root')]);
  }
  const version = versionOf(join(unpacked, 'root'));
  const folder = join(OUT, version);
  mkdirSync(join(unpacked, 'bin'));
  for (const program of PROGRAMS) writeWrapper(join(unpacked, 'bin', program), program);
  rmSync(folder, { recursive: true, force: true });
  // Last: a folder of that name is whole.
  renameSync(unpacked, folder);
  rmSync(archives, { recursive: true, force: true });
  return fetchedQemus();
}

/** Runs apt's tools on lists of its own, by what the system has installed, without changing that. */
function privateApt(work) {
  for (const folder of ['lists/partial', 'cache/archives/partial'])
    mkdirSync(join(work, folder), { recursive: true });
  const sources = join(work, 'sources.list');
  const signed = '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]';
  const mirror = mirrorOf();
  const suites = ['bookworm', SUITE];
  writeFileSync(sources, suites.map((suite) => `deb ${signed} ${mirror} ${suite} main\n`).join(''));
  const own = {
    'APT::Sandbox::User': 'root',
    'Dir::State': work,
    'Dir::State::lists': join(work, 'lists'),
    'Dir::State::status': '/var/lib/dpkg/status',
    'Dir::Cache': join(work, 'cache'),
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': '/dev/null',
    'Debug::NoLocking': 'true',
  };
  const settings = Object.entries(own).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  return (tool, args) =>
    execFileSync(tool, [...settings, ...args], { encoding: 'utf8', stdio: 'pipe', maxBuffer: 1 << 26 });
}

/** The mirror the system itself uses, so that a closed network's own is found. */
function mirrorOf() {
  const lists = ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list'].filter(existsSync);
  for (const list of lists) {
    const found = /^(?:URIs: *|deb (?:\[[^\]]*\] )?)(https?:\/\/\S*\/debian)\/?(?:\s|$)/m.exec(
      readFileSync(list, 'utf8'),
    );
    if (found !== null) return found[1];
  }
  throw new Error('no mirror of Debian in the package lists of this system');
}

function versionOf(root) {
  const program = join(root, 'usr/bin', PROGRAMS[0]);
  const env = { ...process.env, LD_LIBRARY_PATH: join(root, LIBRARIES) };
  const said = execFileSync(program, ['--version'], { encoding: 'utf8', env });
  const version = /version (\d+\.\d+\.\d+)/.exec(said)?.[1];
  if (version === undefined) throw new Error(`QEMU of ${SUITE} did not say its version: ${said}`);
  return version;
}

/** A program that finds the libraries, modules and data that were unpacked with it, wherever its folder is moved to. */
function writeWrapper(path, program) {
  const data = program === 'qemu-img' ? '' : DATA.map((one) => ` -L "$root/${one}" -L /${one}`).join('');
  const lines = [
    '#!/bin/sh',
    'root=$(cd "$(dirname "$0")/../root" && pwd) || exit',
    `export LD_LIBRARY_PATH="$root/${LIBRARIES}"`,
    `export QEMU_MODULE_DIR="$root/${LIBRARIES}/qemu"`,
    `exec "$root/usr/bin/${program}"${data} "$@"`,
  ];
  writeFileSync(path, `${lines.join('\n')}\n`);
  chmodSync(path, 0o755);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    for (const { version, bin } of fetchBackports()) console.log(`qemu: ${version} in ${bin}`);
  } catch (error) {
    console.error(`qemu: ${(error.stderr || error.message).trim()}`);
    console.error(
      `qemu: needs apt-get, dpkg-deb, Debian 12 and a mirror that has ${SUITE}: ${PACKAGES.join(', ')}`,
    );
    process.exitCode = 1;
  }
}
