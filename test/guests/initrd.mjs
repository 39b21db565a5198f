// An initial RAM disk in the kernel's `newc` archive format, written byte by byte so that no cpio is needed:
//
//   per entry: "070701", 13 fields of 8 hexadecimal digits, the name with a zero, padding to 4, the data, padding to 4
//
// It holds busybox, a link for each of its programs, `vitrine` (vitrine.S), the kernel's balloon driver, and a start
// script: one shell on the serial line, one on the screen. It is not compressed: unpacking took the guest longer than reading.
// Drivers of disks are an archive of their own: the kernel unpacks several, one behind the other.

import { VITRINE_PROGRAM_BASE64 } from './vitrine-program.mjs';

const FOLDERS = ['bin', 'dev', 'etc', 'lib', 'lib/modules', 'proc', 'root', 'sys', 'tmp'];

/** The drivers of the balloon and of serial ports, and what they need, in the order in which they are loaded. */
export const MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'virtio_balloon',
  'virtio_console',
];

/** The drivers of IDE disks and of ext2, in the order in which they are loaded. */
export const DISK_MODULES = [
  'scsi_common',
  'scsi_mod',
  'libata',
  'ata_piix',
  'crct10dif_common',
  'crc-t10dif',
  'crc64',
  'crc64-rocksoft',
  't10-pi',
  'sd_mod',
  'crc32c_generic',
  'crc16',
  'mbcache',
  'jbd2',
  'ext4',
];

/** What a machine of 64 bits may have more: in place of the drivers of 32 bits, of disks and networks of virtio, and KVM itself. */
export const AMD64_MODULES = [
  ...MODULES,
  'virtio_blk',
  'failover',
  'net_failover',
  'virtio_net',
  'irqbypass',
  'kvm',
  'kvm-amd',
];

const LOAD_DISK = `#!/bin/sh
for module in ${DISK_MODULES.join(' ')}; do insmod /lib/modules/$module.ko || exit 1; done
`;

/** Rings at the port of a QEMU machine, and says the answer that is its own: `bell save LABEL`, `bell reset`. */
const BELL = `#!/bin/sh
for port in /sys/class/virtio-ports/*; do
  [ "$(cat $port/name 2>/dev/null)" = org.vitrine.bell ] && device=/dev/\${port##*/}
done
[ -n "$device" ] || { echo nobody; exit 4; }
exec 3<>$device || exit 1
echo "$* #$$" >&3
while read -r answer <&3; do
  case $answer in *" #$$") answer=\${answer% #*}; echo "$answer"; break;; esac
done
case $answer in saved*|restored*) exit 0;; refused*) exit 3;; *) exit 4;; esac
`;

const INIT = `#!/bin/sh
export PATH=/bin HOME=/root TERM=linux PS1='# '
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmpfs /tmp
hostname vitrine
for module in ${MODULES.join(' ')}; do insmod /lib/modules/$module.ko 2>/dev/null; done
cd /root
(while :; do setsid sh -c 'exec sh </dev/tty1 >/dev/tty1 2>&1'; done) &
echo "vitrine: $(uname -r) is up"
while :; do setsid cttyhack sh; done
`;

/** The archive: `busybox` is the program's bytes, `applets` the names it answers to, `modules` the drivers by name. */
export function buildInitrd(busybox, applets, modules) {
  const { entry, finish } = startArchive();
  for (const folder of FOLDERS) entry(folder, 0o040755);
  entry('dev/console', 0o020600, undefined, [5, 1]);
  entry('dev/null', 0o020666, undefined, [1, 3]);
  entry('dev/ttyS0', 0o020600, undefined, [4, 64]);
  entry('bin/busybox', 0o100755, busybox);
  for (const applet of applets) {
    if (applet !== 'busybox') entry(`bin/${applet}`, 0o120777, Buffer.from('busybox'));
  }
  entry('bin/vitrine', 0o100755, Buffer.from(VITRINE_PROGRAM_BASE64, 'base64'));
  entry('bin/bell', 0o100755, Buffer.from(BELL));
  for (const [name, bytes] of Object.entries(modules)) entry(`lib/modules/${name}.ko`, 0o100644, bytes);
  entry('init', 0o100755, Buffer.from(INIT));
  return finish();
}

/** What a machine with a disk has more, to be put behind the initial RAM disk: the drivers, and `load-disk`, which loads them. */
export function buildDiskDrivers(modules) {
  const { entry, finish } = startArchive();
  for (const [name, bytes] of Object.entries(modules)) entry(`lib/modules/${name}.ko`, 0o100644, bytes);
  entry('bin/load-disk', 0o100755, Buffer.from(LOAD_DISK));
  return finish();
}

/** Drivers, to be put behind the initial RAM disk: those of the same names take the place of what is there. */
export function buildDrivers(modules) {
  const { entry, finish } = startArchive();
  for (const [name, bytes] of Object.entries(modules)) entry(`lib/modules/${name}.ko`, 0o100644, bytes);
  return finish();
}

/** An archive: `entry` puts a file, a folder, a link or a device into it, `finish` gives its bytes. */
export function startArchive() {
  const parts = [];
  let inode = 1;
  const entry = (name, mode, data = Buffer.alloc(0), device = [0, 0]) => {
    const path = Buffer.from(`${name}\0`);
    const fields = [inode++, mode, 0, 0, 1, 0, data.length, 0, 0, ...device, path.length, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
    parts.push(Buffer.from(header), path, padding(header.length + path.length), data, padding(data.length));
  };
  const finish = () => {
    entry('TRAILER!!!', 0);
    return Buffer.concat(parts);
  };
  return { entry, finish };
}

function padding(length) {
  return Buffer.alloc((4 - (length & 3)) & 3);
}
