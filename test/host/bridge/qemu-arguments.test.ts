// QEMU's arguments as a person gives them: what becomes of the profile, which disks are saved, and what is refused.

import { describe, expect, it } from 'vitest';
import { readMemory, recipeOf } from '../../../src/host/bridge/qemu-arguments.ts';

const MIB = 1024 * 1024;

describe('a command line for QEMU', () => {
  it('becomes the profile where that has a field, and goes on as it is where not', () => {
    const line =
      '-m 1G -smp 2 -cpu max -accel kvm -M q35 -kernel /k -initrd /i -device virtio-rng-pci -nic none';
    expect(recipeOf([...line.split(' '), '-append', 'console=ttyS0 quiet'])).toEqual({
      profile: {
        memoryBytes: 1024 * MIB,
        cpus: 2,
        cpu: 'max',
        accelerator: 'kvm',
        machine: 'q35',
        kernel: '/k',
        initrd: '/i',
        append: 'console=ttyS0 quiet',
        args: ['-device', 'virtio-rng-pci', '-nic', 'none'],
      },
      disks: [],
    });
    expect(recipeOf(['-m', '1G'], { memoryBytes: 64 * MIB }).profile.memoryBytes).toBe(64 * MIB);
    expect(recipeOf([], { freePages: true }).profile).toEqual({ freePages: true });
    expect(recipeOf([], { doorbell: ['save'] })).toEqual({
      profile: { bell: true },
      disks: [],
      doorbell: ['save'],
    });
    expect(recipeOf([], { doorbell: [] })).toEqual({ profile: {}, disks: [] });
    expect(recipeOf(['-enable-kvm']).profile).toEqual({ accelerator: 'kvm' });
    // Which it is, is seen when it starts.
    expect(recipeOf(['-accel', 'auto'])).toEqual(recipeOf([]));
    expect(recipeOf([])).toEqual({ profile: {}, disks: [] });
  });

  it('has disks that are saved, by format of their names, and others that are only read', () => {
    const { profile, disks } = recipeOf([
      ...['-drive', 'file=/a.qcow2,if=virtio', '-drive', 'if=virtio,file=/b.img,format=raw,id=data'],
      ...['-drive', 'file=/of,, a/e.qcow2,if=virtio'],
      ...['-drive', 'file=/c.iso,media=cdrom', '-drive', 'file=/d.img,readonly=on'],
    ]);
    expect(disks).toEqual([
      { name: 'disk0', file: '/a.qcow2', format: 'qcow2' },
      { name: 'data', file: '/b.img', format: 'raw' },
      // As QEMU has a comma that is meant.
      { name: 'disk2', file: '/of, a/e.qcow2', format: 'qcow2' },
    ]);
    expect(profile.args).toEqual(['-drive', 'file=/c.iso,media=cdrom', '-drive', 'file=/d.img,readonly=on']);
  });

  it.each([
    ['-hda', '/a.img'],
    ['-drive', 'file=/a.img'],
    ['-drive', 'file=/a.img,if=ide'],
    ['-drive', 'file=/a.img,if=virtio,cache=none'],
    ['-drive', 'file=/a.vmdk,if=virtio,format=vmdk'],
    ['-drive'],
    ['-blockdev', '{"driver":"raw","node-name":"a"}'],
    ['-S'],
    ['-incoming', 'defer'],
    ['--qmp', 'stdio'],
    ['-m'],
    ['-m', 'much'],
    ['-smp', 'cores=2'],
    ['-accel', 'hax'],
    ['-machine', 'pc,memory-backend=x'],
  ])('is refused: %s %s', (...args) => {
    expect(() => recipeOf(args.filter((arg) => arg !== undefined))).toThrow(
      expect.objectContaining({ code: 'argument-invalid' }),
    );
  });

  it('counts memory as QEMU does', () => {
    expect(['512', '512M', '2G', '65536K', '64MiB'].map(readMemory)).toEqual(
      [512, 512, 2048, 64, 64].map((count) => count * MIB),
    );
  });
});
