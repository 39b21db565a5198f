// What saving and loading the devices of a v86 machine leaves alone: buffers that hold what they held are the same arrays,
// and devices that hold what is loaded are not touched. Neither may ever be wrong.

import { afterEach, describe, expect, it, vi } from 'vitest';
import type { DeviceRecord } from '../../../src/guest/guest.ts';
import type { V86Guest } from '../../../src/guest/v86/index.ts';
import type { V86Emulator } from '../../../src/guest/v86/v86-internals.ts';
import { adopted } from './adopted.ts';
import { difference, paused, poke, runPulse, save } from './machines.ts';

vi.setConfig({ testTimeout: 60_000 });

/** Large buffers that the kernel compared; without it they are compared byte by byte. */
const compared = vi.hoisted(() => ({ count: 0 }));
vi.mock(import('../../../src/kernel/index.ts'), async (original) => {
  const kernel = await original();
  const openComparer: typeof kernel.openComparer = async () => {
    const compare = await kernel.openComparer();
    return (a, b) => {
      compared.count++;
      return compare(a, b);
    };
  };
  return { ...kernel, openComparer };
});

const guests: V86Guest[] = [];
afterEach(async () => {
  for (const guest of guests.splice(0)) await guest.close();
});

/** Pulse, after it ran a little. */
async function pulse(): Promise<{ guest: V86Guest; emulator: V86Emulator }> {
  const made = await adopted({ cdrom: { buffer: new ArrayBuffer(4096) } });
  guests.push(made.guest);
  await runPulse(made.guest);
  return made;
}

const bytesOf = (records: readonly DeviceRecord[], name: string) =>
  records.find((record) => record.name === name)!.bytes;

/** How often each device was loaded while `work` ran. */
async function loadsDuring(
  emulator: V86Emulator,
  work: () => Promise<void>,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const restores = ['vga', 'sb16', 'ide', 'pci', 'pit'].map((name) => {
    const device = emulator.v86.cpu.devices[name] as { set_state(state: unknown[]): void };
    const prototype = Object.getPrototypeOf(device) as { set_state(state: unknown[]): void };
    const original = prototype.set_state;
    counts[name] = 0;
    prototype.set_state = function count(this: unknown, state) {
      if (this === device) counts[name]!++;
      original.call(this, state);
    };
    return () => {
      prototype.set_state = original;
    };
  });
  try {
    await work();
  } finally {
    for (const restore of restores) restore();
  }
  return counts;
}

const LARGE = ['vga.planes', 'vga.pixels', 'sb16.dma'];

describe('saving the devices of a v86 guest', () => {
  it('gives a large buffer as the same array until it changes', async () => {
    const { guest, emulator } = await pulse();
    const first = await paused(guest, () => guest.saveDevices());
    const second = await paused(guest, () => guest.saveDevices());
    for (const name of LARGE) expect(bytesOf(second, name), name).toBe(bytesOf(first, name));
    const before = bytesOf(first, 'vga.planes').slice();
    // Text of the screen, as the guest writes it: far from the start and the end of the buffer.
    const { vga } = emulator.v86.cpu.devices;
    const planes = vga.get_state()[6] as Uint8Array;
    for (const at of [0, 100_003, planes.length - 1]) {
      planes[at]! ^= 1;
      const changed = await paused(guest, () => guest.saveDevices());
      expect(bytesOf(changed, 'vga.planes')).not.toBe(bytesOf(first, 'vga.planes'));
      expect(bytesOf(changed, 'vga.planes')[at]).toBe(before[at]! ^ 1);
      planes[at]! ^= 1;
    }
    // What was given is not written to.
    expect(Buffer.compare(bytesOf(first, 'vga.planes'), before)).toBe(0);
  });

  it('has the kernel compare, also where the machine was only ever paused at once, as at its doorbell', async () => {
    const { guest } = await adopted();
    guests.push(guest);
    guest.pauseNow();
    try {
      // A tracker pauses in its turn, inside.
      await paused(guest, () => guest.saveDevices());
      const before = compared.count;
      guest.loadDevices(guest.saveDevices());
      expect(compared.count - before).toBeGreaterThanOrEqual(2 * LARGE.length);
    } finally {
      guest.resumeNow();
    }
  });
});

describe('loading the devices of a v86 guest', () => {
  it('passes over what the machine holds, with the same outcome', async () => {
    const { guest, emulator } = await pulse();
    const saved = await save(guest);
    await runPulse(guest);
    const counts = await loadsDuring(emulator, () => paused(guest, () => guest.loadDevices(saved.devices)));
    // It may have drawn something.
    expect({ ...counts, vga: 0 }).toEqual({ vga: 0, sb16: 0, ide: 0, pci: 0, pit: 1 });
    const now = await save(guest);
    expect(difference({ memory: [], devices: now.devices }, { memory: [], devices: saved.devices })).toBe(
      'none',
    );
  });

  it('loads a device one byte of whose state or buffer differs, and only that', async () => {
    const { guest, emulator } = await pulse();
    const saved = await save(guest);
    const { devices } = emulator.v86.cpu;
    const spoils: Record<string, () => void> = {
      vga: () => {
        const planes = devices.vga.get_state()[6] as Uint8Array;
        planes[200_000]! ^= 0x80;
      },
      sb16: () => {
        Object.assign(devices.sb16!, { sampling_rate: 12_345 });
      },
      ide: () => {
        const [, , data] = [0, 0, devices.ide!.secondary!.master as unknown as { data: Uint8Array }];
        data.data[60_000]! ^= 1;
      },
    };
    for (const [name, spoil] of Object.entries(spoils)) {
      spoil();
      const counts = await loadsDuring(emulator, () => paused(guest, () => guest.loadDevices(saved.devices)));
      expect(counts).toEqual({ vga: 0, sb16: 0, ide: 0, pci: 0, pit: 1, [name]: 1 });
      const now = await paused(guest, () => guest.saveDevices());
      expect(difference({ memory: [], devices: now }, { memory: [], devices: saved.devices })).toBe('none');
    }
  });

  it('of records that are copies, too, and goes on to the same end', async () => {
    const { guest } = await pulse();
    const saved = await save(guest);
    const copies = saved.devices.map((record) => ({ ...record, bytes: record.bytes.slice() }));
    await runPulse(guest);
    await poke(guest, 0x9000, [1, 2, 3]);
    await paused(guest, () => guest.loadDevices(copies));
    const now = await paused(guest, () => guest.saveDevices());
    expect(difference({ memory: [], devices: now }, { memory: [], devices: saved.devices })).toBe('none');
  });

  it('undoes itself when v86 refuses in the middle, and finds all devices where they were', async () => {
    const { guest, emulator } = await pulse();
    const saved = await save(guest);
    await runPulse(guest);
    const before = await save(guest);
    const { devices } = emulator.v86.cpu;
    const names = Object.keys(devices);
    const prototype = Object.getPrototypeOf(devices.pit) as { set_state(state: unknown[]): void };
    const original = prototype.set_state;
    let refuses = true;
    prototype.set_state = function refuse(this: unknown, state) {
      if (refuses) {
        refuses = false;
        throw new Error('no');
      }
      original.call(this, state);
    };
    try {
      await paused(guest, () => {
        expect(() => guest.loadDevices(saved.devices)).toThrow('guest-state-invalid');
      });
    } finally {
      prototype.set_state = original;
    }
    expect(Object.keys(devices)).toEqual(names);
    expect(devices.vga).toBeDefined();
    expect(difference(await save(guest), before)).toBe('none');
  });
});
