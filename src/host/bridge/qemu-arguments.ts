// QEMU's own arguments as a person knows them, for a machine that is started our way: those that a profile has a field for
// become that field, since a machine of two sizes of memory has none, and all others go on as they are.

import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import type { QemuProfile } from '../qemu/profile.ts';

type Change = (value: string) => Partial<QemuProfile>;

/** Options with a value that a profile has a field for. */
const FIELDS: Readonly<Record<string, Change>> = {
  m: (value) => ({ memoryBytes: readMemory(value) }),
  smp: (value) => ({ cpus: readCount('smp', value) }),
  cpu: (cpu) => ({ cpu }),
  accel: (value) => ({ accelerator: readAccelerator(value) }),
  machine: (machine) => ({ machine: readMachine(machine) }),
  M: (machine) => ({ machine: readMachine(machine) }),
  bios: (bios) => ({ bios }),
  kernel: (kernel) => ({ kernel }),
  initrd: (initrd) => ({ initrd }),
  append: (append) => ({ append }),
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

/**
 * The profile of a command line for QEMU; `memoryBytes` goes before its `-m`. Throws `argument-invalid` for an option that
 * a bridge has to have for itself, and for values that no machine has.
 */
export function profileOfArguments(args: readonly string[], memoryBytes?: number): QemuProfile {
  let profile: QemuProfile = {};
  const rest: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const option = /^--?([A-Za-z][\w-]*)$/.exec(args[at]!)?.[1];
    if (option !== undefined && OURS.includes(option)) {
      throw new VitrineError('argument-invalid', { name: `-${option}`, reason: 'the bridge sets it itself' });
    }
    if (option === 'enable-kvm') {
      profile = { ...profile, accelerator: 'kvm' };
    } else if (option !== undefined && Object.hasOwn(FIELDS, option)) {
      const value = args[++at];
      if (value === undefined)
        throw new VitrineError('argument-invalid', { name: `-${option}`, wants: 'a value' });
      profile = { ...profile, ...FIELDS[option]!(value) };
    } else {
      rest.push(args[at]!);
    }
  }
  return {
    ...profile,
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(rest.length === 0 ? {} : { args: rest }),
  };
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

function readAccelerator(text: string): 'tcg' | 'kvm' {
  if (text === 'tcg' || text === 'kvm') return text;
  throw new VitrineError('argument-invalid', { name: '-accel', value: text, known: ['tcg', 'kvm'] });
}

function readMachine(text: string): string {
  if (!text.includes(',')) return text;
  throw new VitrineError('argument-invalid', {
    name: '-machine',
    value: text,
    wants: 'a machine type alone',
  });
}
