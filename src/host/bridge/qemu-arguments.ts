// QEMU's own arguments as a person knows them, for a machine that is started our way: those that a profile has a field for
// become that field, since a machine of two sizes of memory has none, and all others go on as they are.
//
// Disks are looked at: one that is written while the machine runs and is not saved with it would be another disk than the one
// that the restored machine believes in, and its file system would be lost. So `-drive file=…,if=virtio` becomes a disk that is
// saved with the machine, and what else is written is refused.

import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import type { BellWord } from '../qemu/bell-line.ts';
import type { DiskOptions } from '../qemu/disks.ts';
import { optionsIn, unquoted } from '../qemu/option-list.ts';
import type { QemuProfile } from '../qemu/profile.ts';

/** What a machine is made of. */
export interface MachineRecipe {
  /** Without an accelerator where its operator leaves the choice. */
  readonly profile: QemuProfile;
  /** Why it has its accelerator, once that was chosen. */
  readonly acceleratorBecause?: string;
  /** Disks that are saved with it. */
  readonly disks: readonly DiskOptions[];
  /** What its guest may ask for by its doorbell; nothing, and no doorbell, when left out. */
  readonly doorbell?: readonly BellWord[];
}

type Change = (value: string) => Partial<QemuProfile>;

/** Options with a value that a profile has a field for. */
const FIELDS: Readonly<Record<string, Change>> = {
  m: (value) => ({ memoryBytes: readMemory(value) }),
  smp: (value) => ({ cpus: readCount('smp', value) }),
  cpu: (cpu) => ({ cpu }),
  accel: (value) => readAccelerator(value),
  machine: (machine) => ({ machine: readMachine(machine) }),
  M: (machine) => ({ machine: readMachine(machine) }),
  bios: (bios) => ({ bios }),
  kernel: (kernel) => ({ kernel }),
  initrd: (initrd) => ({ initrd }),
  append: (append) => ({ append }),
  vga: (value) => readVga(value),
};

/** Options that would take away what saving stands on. */
const OURS = [
  'incoming',
  'S',
  'no-shutdown',
  'daemonize',
  'loadvm',
  'snapshot',
  'qmp',
  'readconfig',
  'nodefaults',
];

/** Disks of QEMU's short options, which are always written. */
const SHORT_DISKS = ['hda', 'hdb', 'hdc', 'hdd', 'fda', 'fdb', 'sd', 'mtdblock', 'pflash'];

/** What is told of a machine beside QEMU's own arguments. */
export interface MachineWishes {
  /** Goes before `-m`. */
  readonly memoryBytes?: number | undefined;
  readonly freePages?: boolean | undefined;
  /** What its guest may ask for. */
  readonly doorbell?: readonly BellWord[] | undefined;
}

/**
 * What a command line for QEMU makes, with what is wished beside it. Throws `argument-invalid` for an option that a
 * bridge has to have for itself, for a disk that would not be saved, and for values that no machine has.
 */
export function recipeOf(args: readonly string[], wishes: MachineWishes = {}): MachineRecipe {
  const { memoryBytes, freePages, doorbell = [] } = wishes;
  const hasBell = doorbell.length > 0;
  let profile: QemuProfile = {};
  const rest: string[] = [];
  const disks: DiskOptions[] = [];
  for (let at = 0; at < args.length; at++) {
    const text = args[at]!;
    const option = /^--?([A-Za-z][\w-]*)$/.exec(text)?.[1];
    if (option === undefined) {
      rest.push(text);
      continue;
    }
    if (OURS.includes(option)) refuse(option, 'the bridge sets it itself');
    if (SHORT_DISKS.includes(option))
      refuse(option, 'not saved with the machine; use -drive file=…,if=virtio');
    if (option === 'enable-kvm') {
      profile = { ...profile, accelerator: 'kvm' };
    } else if (Object.hasOwn(FIELDS, option)) {
      profile = { ...profile, ...FIELDS[option]!(followingOf(args, ++at, option)) };
    } else if (option === 'drive') {
      const value = followingOf(args, ++at, option);
      const disk = readDrive(value, disks.length);
      if (disk === undefined) rest.push(text, value);
      else disks.push(disk);
    } else if (option === 'blockdev') {
      const value = followingOf(args, ++at, option);
      if (!/read-only("\s*:\s*true|=on)/.test(value))
        refuse(option, 'not saved with the machine; or read-only=on');
      rest.push(text, value);
    } else {
      rest.push(text);
    }
  }
  return {
    profile: {
      ...profile,
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(freePages === undefined ? {} : { freePages }),
      ...(hasBell ? { bell: true } : {}),
      ...(rest.length === 0 ? {} : { args: rest }),
    },
    disks,
    ...(hasBell ? { doorbell } : {}),
  };
}

/** A disk to be saved with the machine; undefined for one that is only read. */
function readDrive(value: string, index: number): DiskOptions | undefined {
  const fields = new Map(
    optionsIn(value).map((text): [string, string] => {
      const field = unquoted(text);
      const cut = field.indexOf('=');
      return cut < 0 ? [field, 'on'] : [field.slice(0, cut), field.slice(cut + 1)];
    }),
  );
  const isOnlyRead = ['readonly', 'read-only', 'snapshot'].some((name) => fields.get(name) === 'on');
  if (isOnlyRead || fields.get('media') === 'cdrom') return undefined;
  const [file, format] = [fields.get('file'), fields.get('format')];
  const known = ['file', 'format', 'if', 'id', 'index', 'media'];
  const other = [...fields.keys()].find((name) => !known.includes(name));
  if (fields.get('if') !== 'virtio' || file === undefined || other !== undefined) {
    refuse(
      'drive',
      `not saved with the machine; file=…,if=virtio[,format=qcow2|raw] is, readonly=on need not`,
      value,
    );
  }
  if (format !== undefined && format !== 'qcow2' && format !== 'raw') refuse('drive', 'qcow2 or raw', format);
  // Never by what is in it: a guest that wrote to a raw disk could have made it look like anything.
  const byName = file.endsWith('.qcow2') ? 'qcow2' : 'raw';
  const name = fields.get('id') ?? `disk${index}`;
  return { name, file, format: format ?? byName };
}

function followingOf(args: readonly string[], at: number, option: string): string {
  return args[at] ?? refuse(option, 'it wants a value');
}

function refuse(option: string, reason: string, value?: string): never {
  throw new VitrineError('argument-invalid', {
    name: `-${option}`,
    reason,
    ...(value === undefined ? {} : { value }),
  });
}

/** `512`, which QEMU takes for MiB, `512M`, `2G`, in bytes. Throws `argument-invalid`. */
export function readMemory(text: string): number {
  const match = /^(\d{1,9})([KMG]?)i?B?$/i.exec(text);
  const factor = { K: MIB / 1024, M: MIB, G: 1024 * MIB, '': MIB }[match?.[2]?.toUpperCase() ?? ''];
  const bytes = Number(match?.[1]) * (factor ?? Number.NaN);
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new VitrineError('argument-invalid', { name: 'memory', value: text, wants: '512M or 2G' });
}

function readCount(name: string, text: string): number {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new VitrineError('argument-invalid', { name: `-${name}`, value: text, wants: 'a number alone' });
}

/** `auto` is no accelerator: which it is, is seen when a machine starts. */
function readAccelerator(text: string): Partial<QemuProfile> {
  if (text === 'auto') return {};
  if (text === 'tcg' || text === 'kvm') return { accelerator: text };
  throw new VitrineError('argument-invalid', { name: '-accel', value: text, known: ['auto', 'kvm', 'tcg'] });
}

/** An adapter comes with its picture to look at. `-device VGA` makes one without. */
function readVga(text: string): Partial<QemuProfile> {
  if (text === 'none') return { display: 'none', vnc: false };
  if (text === 'std') return { display: 'vga', vnc: true };
  throw new VitrineError('argument-invalid', { name: '-vga', value: text, known: ['std', 'none'] });
}

function readMachine(text: string): string {
  if (!text.includes(',')) return text;
  throw new VitrineError('argument-invalid', {
    name: '-machine',
    value: text,
    wants: 'a machine type alone',
  });
}
