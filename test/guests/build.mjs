// `npm run guests`: builds the Linux guest in .guests/ from Debian's packages — a 32-bit kernel without PAE, busybox,
// SeaBIOS. Nothing of it is in the repository or the package: each part has its own licence.
//
// Run again it finds everything there and does nothing; interrupted it goes on where it stopped. `--force` looks for
// newer versions.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AptI386 } from './apt-i386.mjs';
import { buildDiskDrivers, buildInitrd, DISK_MODULES, MODULES } from './initrd.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const OUT = join(ROOT, '.guests');
const MANIFEST = join(OUT, 'manifest.json');

/** Raised when the files are made in another way. */
const RECIPE = 5;

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
  const apt = new AptI386(join(OUT, 'apt'));
  const kernelPackage = apt
    .dependencies('linux-image-686')
    .find((name) => /^linux-image-[\d.]+-\d+-686$/.test(name));
  if (kernelPackage === undefined) throw new Error('linux-image-686 names no kernel without PAE');
  console.log(`guests: fetching ${kernelPackage}, busybox-static, seabios`);
  const kernel = apt.fetch(kernelPackage);
  const busybox = apt.fetch('busybox-static');
  const seabios = apt.fetch('seabios');

  const release = kernelPackage.replace('linux-image-', '');
  const program = readFileSync(join(busybox.folder, 'bin/busybox'));
  const found = modulesIn(join(kernel.folder, `lib/modules/${release}/kernel`));
  const modules = (names) => Object.fromEntries(names.map((name) => [name, readFileSync(found(name))]));
  const files = {
    vmlinuz: readFileSync(join(kernel.folder, `boot/vmlinuz-${release}`)),
    initrd: buildInitrd(program, appletsOf(join(busybox.folder, 'bin/busybox')), modules(MODULES)),
    'disk-drivers': buildDiskDrivers(modules(DISK_MODULES)),
    bios: readFileSync(join(seabios.folder, 'usr/share/seabios/bios.bin')),
    vgabios: readFileSync(join(seabios.folder, 'usr/share/seabios/vgabios-stdvga.bin')),
  };
  for (const [name, bytes] of Object.entries(files)) writeWhole(join(OUT, name), bytes);
  const manifest = {
    recipe: RECIPE,
    packages: {
      [kernelPackage]: kernel.version,
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

/** Where a module is, by its name. */
function modulesIn(folder) {
  const paths = readdirSync(folder, { recursive: true }).filter((path) => path.endsWith('.ko'));
  return (name) => {
    const path = paths.find((one) => basename(one) === `${name}.ko`);
    if (path === undefined) throw new Error(`the kernel has no module ${name}`);
    return join(folder, path);
  };
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
    console.error('guests: needs apt-get, dpkg-deb and a Debian mirror that has i386 packages:');
    console.error('guests:   linux-image-686 (and the kernel it depends on), busybox-static, seabios');
    process.exitCode = 1;
  }
}
