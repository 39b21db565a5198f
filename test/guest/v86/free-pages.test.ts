// The balloon of a v86 machine asked for free pages, with a driver played by the test: Linux's own is in test/linux.

import { afterEach, describe, expect, it, vi } from 'vitest';
import type { V86Guest } from '../../../src/guest/v86/index.ts';
import type { V86Emulator } from '../../../src/guest/v86/v86-internals.ts';
import type { Span } from '../../../src/memory/span.ts';
import { adopted } from './adopted.ts';
import { difference, openPulse, paused, restore, save, until, untilUp } from './machines.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const DRIVER_OK = 4;
const guests: V86Guest[] = [];
afterEach(async () => {
  for (const guest of guests.splice(0)) await guest.close();
});

async function open(hasDriver: boolean) {
  const { guest, emulator } = await adopted({ virtio_balloon: true });
  guests.push(guest);
  await guest.start();
  await untilUp(guest);
  const balloon = balloonOf(emulator);
  if (hasDriver) balloon.virtio.device_status |= DRIVER_OK;
  const told: Span[] = [];
  let isDone = false;
  const ask = () =>
    paused(guest, () => {
      const request = guest.freePageHint!((span) => told.push(span));
      void request.done.then(() => {
        isDone = true;
      });
      return request;
    });
  return { guest, balloon, told, ask, isDone: () => isDone };
}

/** The balloon, with what its queue's handler calls for the blocks of a guest. */
function balloonOf(emulator: V86Emulator) {
  const balloon = emulator.v86.cpu.devices.virtio_balloon!;
  return balloon as typeof balloon & {
    virtio: { device_status: number; cpu: { zero_memory(address: number, sizeBytes: number): void } };
  };
}

describe('a v86 machine with a balloon', () => {
  it('is answered at once where no driver serves it', async () => {
    const { balloon, ask, isDone, told } = await open(false);
    await ask();
    await until(isDone, 'the answer');
    expect(balloon.fp_cmd).toBe(0);
    expect(told).toEqual([]);
  });

  it('asks with another number each time, hears the blocks, and ends with the driver’s word', async () => {
    const { guest, balloon, ask, isDone, told } = await open(true);
    const numbers: number[] = [];
    for (let round = 0; round < 2; round++) {
      await ask();
      await until(() => balloon.free_cb !== undefined, 'the question');
      numbers.push(balloon.fp_cmd);
      const before = await paused(guest, () => guest.view(0)!.slice(0x10_0000, 0x10_2000));
      balloon.virtio.cpu.zero_memory(0x10_0000, 0x2000);
      // Noted, not zeroed; the program writes there too, so compare what it sums.
      expect(before.some((byte) => byte !== 0)).toBe(true);
      expect(
        await paused(guest, () =>
          guest
            .view(0)!
            .slice(0x10_0000, 0x10_2000)
            .some((byte) => byte !== 0),
        ),
      ).toBe(true);
      balloon.free_cb!();
      balloon.virtio.cpu.zero_memory(0, 4096);
    }
    await until(isDone, 'the answer');
    expect(told).toEqual([0, 1].map(() => ({ region: 0, offsetBytes: 0x10_0000, lengthBytes: 0x2000 })));
    expect(numbers[0]).not.toBe(numbers[1]);
  });

  it('tells a driver to give its blocks back when nobody listens any longer', async () => {
    const { balloon, ask } = await open(true);
    const request = await ask();
    await until(() => balloon.fp_cmd > 1, 'the question');
    request.end();
    await until(() => balloon.fp_cmd === 1, 'the end');
  });

  it('saved in the middle of an answer gives the blocks back where it is restored', async () => {
    const { guest, balloon, ask } = await open(true);
    await ask();
    await until(() => balloon.fp_cmd > 1, 'the question');
    const saved = await save(guest);
    const other = await open(true);
    await other.guest.stop();
    await restore(other.guest, saved);
    expect(difference(saved, await save(other.guest))).toBe('none');
    expect(other.balloon.fp_cmd).toBe(balloon.fp_cmd);
    await other.guest.start();
    await until(() => other.balloon.fp_cmd === 1, 'the end');
  });

  it('lets no guest zero memory through it: not its own unasked, not the emulator’s', async () => {
    const { guest, balloon } = await open(true);
    await guest.stop();
    const { wasm_memory: memory } = balloon.virtio.cpu as unknown as { wasm_memory: { buffer: ArrayBuffer } };
    const before = new Uint8Array(memory.buffer).slice();
    balloon.virtio.cpu.zero_memory(0x10_0000, 0x1000);
    balloon.virtio.cpu.zero_memory(-0x1000, 0x1000);
    balloon.virtio.cpu.zero_memory(0x40_0000, 0x10_0000);
    expect(Buffer.compare(before, new Uint8Array(memory.buffer))).toBe(0);
  });

  it('is not there where none was configured', async () => {
    const guest = await openPulse();
    guests.push(guest);
    expect(guest.freePageHint).toBeUndefined();
  });
});
