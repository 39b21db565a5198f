// What shapes a v86 machine, flat: a snapshot goes only into a machine that says the same; and its regions.

import { LIMITS } from '../../base/limits.ts';
import type { Region } from '../../memory/region.ts';
import type { ConfigValue, MachineDescription } from '../guest.ts';
import { type AttachedDisk, describeDisks } from './disks.ts';
import { V86_VERSION, type V86Cpu } from './v86-internals.ts';

/** Devices that v86 keeps under another name or that say nothing. */
const NOT_DEVICES = new Set(['cdrom', 'hda', 'hdb']);

/** Describes a machine that was set up; nothing of its state is in it. */
export function describeMachine(cpu: V86Cpu, disks: readonly AttachedDisk[]): MachineDescription {
  const devices = Object.entries(cpu.devices)
    .filter(([name, device]) => device !== undefined && device !== null && !NOT_DEVICES.has(name))
    .map(([name]) => name)
    .sort();
  const config: Record<string, ConfigValue> = {
    memoryBytes: cpu.mem8.length,
    vgaMemoryBytes: cpu.devices.vga.vga_memory_size,
    acpi: cpu.acpi_enabled[0] !== 0,
    devices: devices.join(','),
    ...firmware('bios', cpu.bios.main),
    ...firmware('vgaBios', cpu.bios.vga),
    ...describeDisks(disks),
  };
  return { kind: 'v86', version: V86_VERSION, architecture: 'x86', config };
}

function firmware(name: string, image: ArrayBuffer | null | undefined): Record<string, ConfigValue> {
  if (image === null || image === undefined) return { [`${name}Bytes`]: 0 };
  return { [`${name}Bytes`]: image.byteLength, [`${name}Crc32`]: crc32(new Uint8Array(image)) };
}

/** CRC-32 (IEEE 802.3): tells firmware apart; integrity is the format's business. */
function crc32(bytes: Uint8Array): string {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0);
  }
  return (~crc >>> 0).toString(16).padStart(8, '0');
}

/** Where v86 maps its linear frame buffer. */
const FRAME_BUFFER_ADDRESS = 0xe000_0000;

/** RAM, video memory, and the disk images that v86 holds in memory. */
export function listRegions(cpu: V86Cpu, disks: readonly AttachedDisk[]): Region[] {
  const pageBytes = LIMITS.defaultPageBytes;
  const vgaBytes = cpu.devices.vga.vga_memory_size;
  const regions: Omit<Region, 'id'>[] = [
    { name: 'ram', kind: 'ram', guestAddress: 0, sizeBytes: cpu.mem8.length, pageBytes },
    { name: 'vga.vram', kind: 'device', guestAddress: FRAME_BUFFER_ADDRESS, sizeBytes: vgaBytes, pageBytes },
  ];
  for (const { name, kind, disk } of disks) {
    if (kind !== 'memory') continue;
    const sizeBytes = disk.byteLength;
    regions.push({ name: `disk.${name}`, kind: 'disk', guestAddress: null, sizeBytes, pageBytes });
  }
  return regions.map((region, id) => ({ id, ...region }));
}
