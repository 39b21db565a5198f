// A launch profile: what a machine is made of, and the QEMU command line that makes it so. Pure: it starts nothing.
//
// What has to be so for a machine to be saved and restored, and why:
//
//   memory-backend-file,share=on,id=pc.ram   its RAM is a file that we read and write; QEMU names RAM blocks after the
//                                            object, so another id would make another machine. A memfd would do in 7.2,
//                                            but from 8.2 on only named files are left out of device state.
//   a versioned machine type                 `pc` alone means another machine in each release of QEMU
//   -nodefaults, -no-user-config             no device that nobody asked for
//   -rtc clock=vm                            the clock chip rests with the machine; the host's would change while it is saved
//   -S                                       nothing runs before we are connected
//   -no-shutdown                             a machine that turns itself off can still be looked at and put back
//   addr= of our own devices                 where nobody else's are put, so that those stay where they were

import { join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import { quoted } from './option-list.ts';

/** The RAM block, and the object, that holds all of a machine's memory. */
export const RAM_BLOCK = 'pc.ram';

/** A virtio-serial port by which programs of the guest ring: its name in the guest, and that of its end in QEMU. */
export const BELL_PORT_NAME = 'org.vitrine.bell';
export const BELL_CHARDEV = 'vitrine-bell';
const BELL_BUS = 'vitrine-bell-bus';
/** The name that QEMU knows our balloon by. */
export const BALLOON_ID = 'vitrine-balloon';
const BALLOON_DEVICE = `virtio-balloon-pci,id=${BALLOON_ID},free-page-reporting=on,addr=0x1d`;
/** A balloon, or memory that comes and goes: devices that give RAM back without having written it. */
const DISCARDS = /\bvirtio-(balloon|mem)\b/;

/** Short names of machine types. Both QEMU 7.2 and 10 know these, so that snapshots go from one to the other. */
const MACHINE_TYPES = { pc: 'pc-i440fx-7.2', q35: 'pc-q35-7.2' } as const;

export interface QemuProfile {
  /** `pc`, `q35`, or a versioned machine type of QEMU's. `pc` when left out. */
  readonly machine?: string;
  /** A multiple of 1 MiB. 128 MiB when left out. */
  readonly memoryBytes?: number;
  /** 1 when left out. */
  readonly cpus?: number;
  /** A CPU model of QEMU's. `qemu64` when left out: `host` and `max` differ from host to host. */
  readonly cpu?: string;
  /** `tcg` when left out. */
  readonly accelerator?: 'tcg' | 'kvm';
  /** A VGA adapter with 16 MiB of its own memory, or none, which is the default. */
  readonly display?: 'none' | 'vga';
  /** Its picture over VNC, on a socket in its run directory, where there is a VGA adapter. False when left out. */
  readonly vnc?: boolean;
  /** A firmware file in place of QEMU's. */
  readonly bios?: string;
  /** A Linux kernel, its initial ramdisk and its command line. */
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  /**
   * Whether its kernel tells which memory is free (Linux from 5.7 on), by a balloon that reports: what is free takes no room, here
   * and in snapshots. It is a device more, so snapshots of a machine with it go into machines with it. False when left out.
   */
  readonly freePages?: boolean;
  /**
   * Whether programs of the guest can ring, at a port that `bell.ts` serves. It is a device more, as the balloon is. False when left
   * out.
   */
  readonly bell?: boolean;
  /** An image of RAM to start from, as long as memory. It is never written: pages are the machine's own once it writes them. */
  readonly ramImage?: string;
  /** More of QEMU's own arguments, as they are: disks, network cards. */
  readonly args?: readonly string[];
  /** The program. `qemu-system-x86_64` when left out. */
  readonly program?: string;
}

type Optional = 'bios' | 'kernel' | 'initrd' | 'append' | 'ramImage';

/** A profile with every default filled in. */
export type ResolvedProfile = Required<Omit<QemuProfile, Optional>> & Pick<QemuProfile, Optional>;

/** Fills defaults in. Throws `argument-invalid`. */
export function resolveProfile(profile: QemuProfile): ResolvedProfile {
  const {
    machine = 'pc',
    memoryBytes = 128 * MIB,
    cpus = 1,
    accelerator = 'tcg',
    display = 'none',
    vnc = false,
    freePages = false,
    bell = false,
  } = profile;
  const refuse = (name: string, value: string | number): never => {
    throw new VitrineError('argument-invalid', { name, value });
  };
  if (!Number.isSafeInteger(memoryBytes) || memoryBytes < MIB || memoryBytes % MIB !== 0) {
    refuse('memoryBytes', memoryBytes);
  }
  if (!Number.isSafeInteger(cpus) || cpus < 1 || cpus > 255) refuse('cpus', cpus);
  const type = Object.hasOwn(MACHINE_TYPES, machine)
    ? MACHINE_TYPES[machine as keyof typeof MACHINE_TYPES]
    : machine;
  if (vnc && display === 'none') refuse('vnc', 'without a display');
  if (!/^[a-z0-9][a-z0-9.-]*$/i.test(type)) refuse('machine', machine);
  const cpu = profile.cpu ?? 'qemu64';
  if (cpu === '' || cpu.startsWith('-')) refuse('cpu', cpu);
  const { bios, kernel, initrd, append, ramImage } = profile;
  return {
    machine: type,
    memoryBytes,
    cpus,
    cpu,
    accelerator,
    display,
    vnc,
    freePages,
    bell,
    args: profile.args ?? [],
    program: profile.program ?? 'qemu-system-x86_64',
    ...(bios === undefined ? {} : { bios }),
    ...(kernel === undefined ? {} : { kernel }),
    ...(initrd === undefined ? {} : { initrd }),
    ...(append === undefined ? {} : { append }),
    ...(ramImage === undefined ? {} : { ramImage }),
  };
}

/** Whether a machine can give memory back, as a balloon does: by making holes in what it maps. */
export function givesMemoryBack({ freePages, args }: Pick<QemuProfile, 'freePages' | 'args'>): boolean {
  return freePages === true || hasDiscarding(args ?? []);
}

/** Whether some of these names, of devices or of arguments, are of devices that give memory back. */
export function hasDiscarding(names: readonly string[]): boolean {
  return names.some((name) => DISCARDS.test(name));
}

/** Files of one running machine, all in its run directory. */
export interface MachineFiles {
  readonly directory: string;
  /** The machine's RAM, byte for byte. */
  readonly ram: string;
  /** Where its monitor listens. */
  readonly qmp: string;
  /** Where its first serial line listens. */
  readonly serial: string;
  /** Where its bell listens, where it has one. */
  readonly bell: string;
  /** Where its picture is served, with `vnc`. */
  readonly vnc: string;
  /** What its first serial line printed, also while nobody listened. */
  readonly serialLog: string;
  /** What it said on standard error. */
  readonly said: string;
  /** Whether it shall run, and whether it is whole. */
  readonly intent: string;
  /** Who it is: its process and its owner's. */
  readonly note: string;
}

export function filesIn(directory: string): MachineFiles {
  const file = (name: string): string => join(directory, name);
  return {
    directory,
    ram: file('ram'),
    qmp: file('qmp'),
    serial: file('serial'),
    bell: file('bell'),
    vnc: file('vnc'),
    serialLog: file('serial.log'),
    said: file('said'),
    intent: file('intent'),
    note: file('machine.json'),
  };
}

/** QEMU's arguments for a profile. */
export function argumentsOf(profile: ResolvedProfile, files: MachineFiles): string[] {
  const { bios, kernel, initrd, append, display } = profile;
  return [
    ...['-no-user-config', '-nodefaults', '-S', '-no-shutdown', '-display', 'none'],
    ...['-accel', profile.accelerator],
    ...['-object', ramObject(profile, files)],
    ...['-machine', `${profile.machine},memory-backend=${RAM_BLOCK}`],
    ...['-m', `${profile.memoryBytes / MIB}M`],
    ...['-cpu', profile.cpu, '-smp', String(profile.cpus)],
    ...['-rtc', 'base=utc,clock=vm'],
    ...['-chardev', `socket,id=vitrine-qmp,path=${quoted(files.qmp)},server=on,wait=off`],
    ...['-mon', 'chardev=vitrine-qmp,mode=control'],
    ...['-chardev', serialDevice(files)],
    ...['-serial', 'chardev:vitrine-serial'],
    ...(display === 'vga' ? ['-device', 'VGA'] : []),
    ...(profile.vnc ? ['-vnc', `unix:${quoted(files.vnc)}`] : []),
    ...(profile.freePages ? ['-device', BALLOON_DEVICE] : []),
    ...(profile.bell ? bellArguments(files) : []),
    ...(bios === undefined ? [] : ['-bios', bios]),
    ...(kernel === undefined ? [] : ['-kernel', kernel]),
    ...(initrd === undefined ? [] : ['-initrd', initrd]),
    ...(append === undefined ? [] : ['-append', append]),
    ...profile.args,
  ];
}

/** What it prints while nobody is connected is in the log alone. */
function serialDevice({ serial, serialLog }: MachineFiles): string {
  const log = `logfile=${quoted(serialLog)},logappend=on`;
  return `socket,id=vitrine-serial,path=${quoted(serial)},server=on,wait=off,${log}`;
}

function bellArguments(files: MachineFiles): string[] {
  const port = `virtserialport,id=${BELL_CHARDEV},bus=${BELL_BUS}.0,chardev=${BELL_CHARDEV},name=${BELL_PORT_NAME}`;
  return [
    ...['-chardev', `socket,id=${BELL_CHARDEV},path=${quoted(files.bell)},server=on,wait=off`],
    ...['-device', `virtio-serial-pci,id=${BELL_BUS},addr=0x1e`],
    ...['-device', port],
  ];
}

function ramObject({ memoryBytes, ramImage }: ResolvedProfile, files: MachineFiles): string {
  const [path, share] = ramImage === undefined ? [files.ram, 'on'] : [ramImage, 'off'];
  return `memory-backend-file,id=${RAM_BLOCK},size=${memoryBytes},mem-path=${quoted(path)},share=${share}`;
}
