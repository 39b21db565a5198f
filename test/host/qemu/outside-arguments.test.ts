// Which arguments let two processes of one machine be there at once.

import { describe, expect, it } from 'vitest';
import { reachesOutside } from '../../../src/host/qemu/outside-arguments.ts';

const words = (line: string): string[] => (line === '' ? [] : line.split(' '));

describe('arguments of a process that nobody asked for', () => {
  it.each([
    '',
    '-cpu qemu64,-apic -smp 2',
    '-device virtio-rng-pci',
    '-usb -device usb-tablet',
    '-netdev user,id=n0 -device virtio-net-pci,netdev=n0',
    '-nic none -parallel none',
    '-nic user,model=virtio-net-pci',
    '-global PIIX4_PM.disable_s3=1 --boot menu=off',
  ])('"%s" keeps to itself', (line) => {
    expect(reachesOutside(words(line))).toBeUndefined();
  });

  it.each([
    ['-netdev user,id=n0,hostfwd=tcp::2222-:22', '-netdev user,id=n0,hostfwd=tcp::2222-:22'],
    ['-nic tap,ifname=tap0', '-nic tap,ifname=tap0'],
    ['-cpu max -gdb tcp::1234', '-gdb tcp::1234'],
    ['-s', '-s'],
    ['-usb -monitor unix:/run/m,server', '-monitor unix:/run/m,server'],
    ['-chardev socket,path=/run/c,server=on,id=c', '-chardev socket,path=/run/c,server=on,id=c'],
    ['-device vfio-pci,host=01:00.0', '-device vfio-pci,host=01:00.0'],
    ['-device vhost-vsock-pci,guest-cid=3', '-device vhost-vsock-pci,guest-cid=3'],
    ['-drive file=cd.iso,media=cdrom', '-drive file=cd.iso,media=cdrom'],
    ['-pidfile /run/q.pid', '-pidfile /run/q.pid'],
    ['-never-heard-of x', '-never-heard-of x'],
    ['disk.img', 'disk.img'],
  ])('"%s" does not', (line, told) => {
    expect(reachesOutside(words(line))).toBe(told);
  });
});
