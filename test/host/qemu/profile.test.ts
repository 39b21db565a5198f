// Launch profiles: defaults, refusals, and that a path with a comma in it does not become another option.

import { describe, expect, it } from 'vitest';
import {
  argumentsOf,
  filesIn,
  givesMemoryBack,
  type QemuProfile,
  resolveProfile,
} from '../../../src/host/qemu/profile.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';

const MIB = 2 ** 20;
const lineOf = (profile: QemuProfile, directory = '/run/m') =>
  argumentsOf(resolveProfile(profile), filesIn(directory));

/** The value of an option that stands there once. */
function optionOf(line: readonly string[], option: string): string | undefined {
  const at = line.indexOf(option);
  expect(line.lastIndexOf(option)).toBe(at);
  return at < 0 ? undefined : line[at + 1];
}

describe('a profile', () => {
  it('is a plain PC of a versioned type, its RAM in a shared file', () => {
    const line = lineOf({});
    expect(optionOf(line, '-machine')).toBe('pc-i440fx-7.2,memory-backend=pc.ram');
    expect(optionOf(line, '-object')).toBe(
      `memory-backend-file,id=pc.ram,size=${128 * MIB},mem-path=/run/m/ram,share=on`,
    );
    expect(optionOf(line, '-m')).toBe('128M');
    expect(optionOf(line, '-accel')).toBe('tcg');
    expect(line).toContain('-S');
    expect(line).toContain('-nodefaults');
    expect(line).not.toContain('-device');
    expect(line).not.toContain('-bios');
  });

  it('says what it is told', () => {
    const line = lineOf({
      machine: 'q35',
      memoryBytes: 512 * MIB,
      cpus: 2,
      cpu: 'Nehalem',
      accelerator: 'kvm',
      display: 'vga',
      kernel: '/k',
      initrd: '/i',
      append: 'console=ttyS0 a="b c"',
      args: ['-device', 'virtio-balloon-pci'],
    });
    expect(optionOf(line, '-machine')).toBe('pc-q35-7.2,memory-backend=pc.ram');
    expect(optionOf(line, '-smp')).toBe('2');
    expect(optionOf(line, '-cpu')).toBe('Nehalem');
    expect(optionOf(line, '-accel')).toBe('kvm');
    expect(optionOf(line, '-append')).toBe('console=ttyS0 a="b c"');
    expect(line.filter((word) => word === '-device')).toHaveLength(2);
    expect(line.slice(-2)).toEqual(['-device', 'virtio-balloon-pci']);
  });

  it('has a balloon where free pages are to be told, in a place of its own', () => {
    const line = lineOf({ freePages: true, args: ['-device', 'e1000'] });
    expect(line.filter((word) => word === '-device')).toHaveLength(2);
    expect(line).toContain('virtio-balloon-pci,id=vitrine-balloon,free-page-reporting=on,addr=0x1d');
    expect(givesMemoryBack({ freePages: true, args: [] })).toBe(true);
    expect(givesMemoryBack({ args: ['-device', 'virtio-balloon-pci'] })).toBe(true);
    expect(givesMemoryBack({ args: ['-device', 'virtio-mem-pci,memdev=m'] })).toBe(true);
    expect(givesMemoryBack({ args: ['-device', 'virtio-net-pci'] })).toBe(false);
  });

  it('has a bell on a socket of its own', () => {
    const line = lineOf({ bell: true }, '/run/a,b');
    expect(line).toContain('virtio-serial-pci,id=vitrine-bell-bus,addr=0x1e');
    expect(line).toContain('socket,id=vitrine-bell,path=/run/a,,b/bell,server=on,wait=off');
    expect(line.find((word) => word.startsWith('virtserialport,'))).toContain('name=org.vitrine.bell');
    expect(lineOf({}).join(' ')).not.toContain('bell');
  });

  it('doubles commas in paths', () => {
    const line = lineOf({}, '/run/a,share=off');
    expect(optionOf(line, '-object')).toContain('mem-path=/run/a,,share=off/ram,share=on');
    expect(line.filter((word) => word.includes('path=/run/a,,share=off/'))).toHaveLength(3);
  });

  const refused: [string, QemuProfile][] = [
    ['no memory', { memoryBytes: 0 }],
    ['part of a mebibyte', { memoryBytes: 128 * MIB + 4096 }],
    ['half a byte', { memoryBytes: 128 * MIB + 0.5 }],
    ['no CPU', { cpus: 0 }],
    ['too many CPUs', { cpus: 256 }],
    ['a machine that is an option list', { machine: 'pc,accel=kvm' }],
    ['a machine that is an option', { machine: '-daemonize' }],
    ['a CPU that is an option', { cpu: '-S' }],
    ['no CPU model', { cpu: '' }],
  ];
  for (const [what, profile] of refused) {
    it(`refuses ${what}`, async () => {
      expect(await codeOf(() => resolveProfile(profile))).toBe('argument-invalid');
    });
  }
});
