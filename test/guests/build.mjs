// `npm run guests`: builds the Linux guest in .guests/ from Debian's packages — a 32-bit kernel without PAE, one of 64 bits,
// busybox, SeaBIOS. Nothing of it is in the repository or the package: each part has its own licence.
//
// Run again it finds everything there and does nothing; interrupted it goes on where it stopped. `--force` looks for
// newer versions.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Apt } from './apt.mjs';
import {
  AMD64_MODULES,
  buildDiskDrivers,
  buildDrivers,
  buildInitrd,
  DISK_MODULES,
  MODULES,
} from './initrd.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const OUT = join(ROOT, '.guests');
const MANIFEST = join(OUT, 'manifest.json');

/** Raised when the files are made in another way. */
const RECIPE = 7;

/** What the start script and the tests call; the guest has all of busybox where this machine can run it. */
const NEEDED_APPLETS =
  'sh ash awk cat cp cttyhack cut date dd dmesg echo env expr false find free grep gunzip gzip head hexdump hostname insmod kill ln ls md5sum mkdir mount mv od printf ps rm sed seq setsid sha256sum sleep sort stty sync tail tee test time top touch tr true umount uname uniq uptime vi wc xargs yes'.split(
    ' ',
  );

function isComplete() {
  if (!existsSync(MANIFEST)) return false;
  const manifest = JSON.parse(readFileSync(MANIFEST, 'utf8'));
  return (
    manifest.recipe === RECIPE &&
    Object.entries(manifest.files).every(
      ([name, { sha256 }]) => existsSync(join(OUT, name)) && digest(readFileSync(join(OUT, name))) === sha256,
    )
  );
}

function build() {
  const apt = new Apt(join(OUT, 'apt'), 'i386');
  const apt64 = new Apt(join(OUT, 'apt-amd64'), 'amd64');
  const kernelPackage = kernelOf(apt, 'linux-image-686', /^linux-image-[\d.]+-\d+-686$/);
  // The one for clouds: the same kernel with fewer drivers.
  const kernel64Package = kernelOf(apt64, 'linux-image-cloud-amd64', /^linux-image-[\d.]+-\d+-cloud-amd64$/);
  console.log(`guests: fetching ${kernelPackage}, ${kernel64Package}, busybox-static, seabios`);
  const kernel = apt.fetch(kernelPackage);
  const kernel64 = apt64.fetch(kernel64Package);
  const busybox = apt.fetch('busybox-static');
  const seabios = apt.fetch('seabios');

  const release = kernelPackage.replace('linux-image-', '');
  const program = readFileSync(join(busybox.folder, 'bin/busybox'));
  const release64 = kernel64Package.replace('linux-image-', '');
  const modules = modulesIn(join(kernel.folder, `lib/modules/${release}/kernel`));
  const modules64 = modulesIn(join(kernel64.folder, `lib/modules/${release64}/kernel`));
  const files = {
    vmlinuz: readFileSync(join(kernel.folder, `boot/vmlinuz-${release}`)),
    'vmlinuz-amd64': readFileSync(join(kernel64.folder, `boot/vmlinuz-${release64}`)),
    initrd: buildInitrd(program, appletsOf(join(busybox.folder, 'bin/busybox')), modules(MODULES)),
    'disk-drivers': buildDiskDrivers(modules(DISK_MODULES)),
    'drivers-amd64': buildDrivers(modules64(AMD64_MODULES)),
    bios: readFileSync(join(seabios.folder, 'usr/share/seabios/bios.bin')),
    vgabios: readFileSync(join(seabios.folder, 'usr/share/seabios/vgabios-stdvga.bin')),
  };
  for (const [name, bytes] of Object.entries(files)) writeWhole(join(OUT, name), bytes);
  const manifest = {
    recipe: RECIPE,
    packages: {
      [kernelPackage]: kernel.version,
      [kernel64Package]: kernel64.version,
      'busybox-static': busybox.version,
      seabios: seabios.version,
    },
    files: Object.fromEntries(
      Object.entries(files).map(([name, bytes]) => [name, { bytes: bytes.length, sha256: digest(bytes) }]),
    ),
  };
  // Last: its presence says that the rest is whole.
  writeWhole(MANIFEST, `${JSON.stringify(manifest, null, 2)}\n`);
  console.log(`guests: ${release} in ${OUT}`);
}

/** The kernel that a package of no contents depends on. */
function kernelOf(apt, name, pattern) {
  const found = apt.dependencies(name).find((one) => pattern.test(one));
  if (found === undefined) throw new Error(`${name} names no kernel like ${pattern}`);
  return found;
}

/** What gives modules of a kernel, by their names. */
function modulesIn(folder) {
  const paths = readdirSync(folder, { recursive: true }).filter((path) => path.endsWith('.ko'));
  const read = (name) => {
    const path = paths.find((one) => basename(one) === `${name}.ko`);
    if (path === undefined) throw new Error(`the kernel has no module ${name}`);
    return readFileSync(join(folder, path));
  };
  return (names) => Object.fromEntries(names.map((name) => [name, read(name)]));
}

/** Every name that busybox answers to, if this machine runs 32-bit programs, else those that are needed. */
function appletsOf(busybox) {
  try {
    const names = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n');
    return [...new Set([...NEEDED_APPLETS.filter((name) => names.includes(name)), ...names])].sort();
  } catch {
    return NEEDED_APPLETS;
  }
}

function writeWhole(path, content) {
  writeFileSync(`${path}.part`, content);
  renameSync(`${path}.part`, path);
}

function digest(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

mkdirSync(OUT, { recursive: true });
if (!process.argv.includes('--force') && isComplete()) {
  console.log('guests: everything is there');
} else {
  try {
    build();
  } catch (error) {
    console.error(`guests: ${error.message.trim()}`);
    console.error('guests: needs apt-get, dpkg-deb and a Debian mirror that has packages of i386 and amd64:');
    console.error('guests:   linux-image-686 and linux-image-cloud-amd64, with the kernels they depend on,');
    console.error('guests:   busybox-static, seabios');
    process.exitCode = 1;
  }
}
