// Disks of a v86 guest: images in memory as regions, images by blocks as records. The drive's own calls stand for a
// guest that reads and writes.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { adoptV86, type V86Guest } from '../../../src/guest/v86/index.ts';
import type { V86Disk, V86Emulator } from '../../../src/guest/v86/v86-internals.ts';
import { difference, openPulse, paused, restore, save, v86Program } from './machines.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

/** How a v86 drive writes and reads its image. */
interface WritableDisk extends V86Disk {
  set(offset: number, bytes: Uint8Array, done: () => void): void;
  get(offset: number, length: number, done: (bytes: Uint8Array) => void): void;
}

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const IMAGE = Uint8Array.from({ length: 64 * 1024 }, (_, at) => (at * 7) & 0xff);

describe('disks of a v86 guest', () => {
  it('in memory are regions, outside of the device records', async () => {
    const guest = await openPulse({
      disks: { hda: { bytes: IMAGE }, fda: { bytes: new Uint8Array(1_474_560) } },
    });
    closing.push(() => guest.close());
    expect(guest.regions.map(({ name, kind, sizeBytes }) => [name, kind, sizeBytes])).toEqual([
      ['ram', 'ram', 4 << 20],
      ['vga.vram', 'device', 1 << 20],
      ['disk.hda', 'disk', 65_536],
      ['disk.fda', 'disk', 1_474_560],
    ]);
    expect(guest.machine.config).toMatchObject({ 'disk.hda.kind': 'memory', 'disk.hda.bytes': 65_536 });
    const saved = await save(guest);
    expect(Buffer.compare(saved.memory[2]!, IMAGE)).toBe(0);
    for (const record of saved.devices) expect(record.bytes.length).toBeLessThan(600_000);
    await paused(guest, () =>
      guest.writePages({ region: 2, offsetBytes: 512, lengthBytes: 3 }, Uint8Array.of(1, 2, 3)),
    );
    expect(difference(saved, await save(guest))).toContain('region 2 at 512');
    await restore(guest, saved);
    expect(difference(saved, await save(guest))).toBe('none');
  });

  it('by blocks save what was written and name the image they began as', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'v86-disk-'));
    closing.push(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'disk.img');
    writeFileSync(path, IMAGE);
    const one = await openWithDisk(path);
    const other = await openWithDisk(path);
    expect(one.guest.regions.map((region) => region.name)).toEqual(['ram', 'vga.vram']);
    expect(one.guest.machine).toEqual(other.guest.machine);
    expect(one.guest.machine.config).toMatchObject({
      'disk.hda.kind': 'blocks',
      'disk.hda.bytes': IMAGE.length,
      'disk.hda.source': path,
    });

    const empty = await save(one.guest);
    for (const offset of [4096, 512, 60 * 1024])
      await write(one.disk, offset, new Uint8Array(512).fill(0xab));
    const written = await save(one.guest);
    const record = written.devices.find((device) => device.name === 'disk.hda.written')!;
    expect(record.bytes.length).toBe(4096 + 6 * 256);

    await restore(other.guest, written);
    expect(await read(other.disk, 512)).toEqual(new Uint8Array(512).fill(0xab));
    expect(await read(other.disk, 1024)).toEqual(IMAGE.slice(1024, 1536));
    expect(difference(written, await save(other.guest))).toBe('none');
    await restore(one.guest, empty);
    expect(await read(one.disk, 512)).toEqual(IMAGE.slice(512, 1024));
    expect(difference(empty, await save(one.guest))).toBe('none');

    // A record of blocks in the wrong order, or beyond the disk, changes nothing.
    const before = await save(other.guest);
    for (const [at, value] of [
      [4, 0xff],
      [0, 7],
      [30, 1],
    ] as const) {
      const bytes = record.bytes.slice();
      bytes[at] = value;
      const bad = written.devices.map((device) => (device === record ? { ...record, bytes } : device));
      await paused(other.guest, () =>
        expect(() => other.guest.loadDevices(bad)).toThrow(
          expect.objectContaining({ code: 'guest-state-invalid' }),
        ),
      );
    }
    expect(difference(before, await save(other.guest))).toBe('none');
  });

  it('make a pause wait for a block that is being read', async () => {
    const { guest, emulator } = await openWithDisk();
    const drive = emulator.v86.cpu.devices.ide!.primary!.master;
    drive.in_progress_io_ids.set(1, undefined);
    let rests = false;
    const pause = guest.pause().then(() => {
      rests = true;
    });
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(rests).toBe(false);
    drive.in_progress_io_ids.clear();
    await pause;
    await guest.resume();
  });
});

async function openWithDisk(
  path?: string,
): Promise<{ guest: V86Guest; emulator: V86Emulator; disk: WritableDisk }> {
  const { V86 } = await import('v86');
  const program = await v86Program();
  const hda =
    path === undefined ? { buffer: IMAGE.slice().buffer } : { url: path, async: true, size: IMAGE.length };
  const emulator = new V86({
    wasm_fn: async (imports: WebAssembly.Imports) => {
      if (!('module' in program)) throw new Error('a module');
      return (await WebAssembly.instantiate(program.module, imports)).exports;
    },
    bios: { buffer: new ArrayBuffer(65_536) },
    memory_size: 1 << 20,
    vga_memory_size: 1 << 20,
    net_device: { type: 'none' },
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    hda,
  } as never) as unknown as V86Emulator;
  await new Promise<void>((resolve) => emulator.add_listener('emulator-ready', () => resolve()));
  const guest = adoptV86(emulator);
  closing.push(() => guest.close());
  return { guest, emulator, disk: emulator.v86.cpu.devices.ide!.primary!.master.buffer as WritableDisk };
}

function write(disk: WritableDisk, offset: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => disk.set(offset, bytes, resolve));
}

function read(disk: WritableDisk, offset: number): Promise<Uint8Array> {
  return new Promise((resolve) => disk.get(offset, 512, (bytes) => resolve(Uint8Array.from(bytes))));
}
