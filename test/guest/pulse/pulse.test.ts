// Pulse: its ROM against its source, its memory against a model in TypeScript, its keys.

import { spawnSync } from 'node:child_process';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { PULSE, PULSE_FACTS, pulseRom } from '../../../src/guest/pulse/pulse.ts';
import { PULSE_CODE_BASE64 } from '../../../src/guest/pulse/pulse-code.ts';
import type { V86Guest } from '../../../src/guest/v86/index.ts';
import { openPulse, paused, restore, runPulse, save, until, untilUp, wordAt } from '../v86/machines.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const hasBinutils = ['as', 'ld', 'objcopy'].every((tool) => spawnSync(tool, ['--version']).status === 0);

const guests: V86Guest[] = [];
const keep = (guest: V86Guest) => {
  guests.push(guest);
  return guest;
};
afterEach(async () => {
  for (const guest of guests.splice(0)) await guest.close();
});

describe('the Pulse ROM', () => {
  // Without binutils the source cannot be assembled; the ROM is in the repository.
  it.skipIf(!hasBinutils)('is what its source assembles to', async () => {
    // @ts-expect-error A build script: plain JavaScript without types.
    const { assemblePulse } = await import('../../../src/guest/pulse/build.mjs');
    expect(Buffer.from(assemblePulse()).toString('base64')).toBe(PULSE_CODE_BASE64);
  });

  it('is 64 KiB and starts with a far jump from its last 16 bytes', () => {
    const rom = pulseRom();
    expect(rom.length).toBe(65_536);
    expect(rom[0xfff0]).toBe(0xea);
    expect(rom[0]).toBe(0xff);
  });
});

describe('Pulse', () => {
  it('holds in RAM what follows from the number of pages it wrote, before and after a restore', async () => {
    const guest = keep(await openPulse());
    await runPulse(guest, 64);
    await hurry(guest);
    await checkModel(guest);
    const saved = await save(guest);
    await runPulse(guest, 300);
    await checkModel(guest);
    expect(await wordAt(guest, PULSE.health)).toBe(1);
    await restore(guest, saved);
    await checkModel(guest);
    await runPulse(guest, 300);
    await checkModel(guest);
  });

  it('finds a page that someone else changed', async () => {
    const guest = keep(await openPulse());
    await runPulse(guest);
    await hurry(guest);
    await runPulse(guest, PULSE_FACTS.pageCount);
    expect(await wordAt(guest, PULSE.health)).toBe(1);
    await paused(guest, () => {
      // Its turn comes later: not the page that is being written.
      const next = new DataView(guest.view(0)!.slice(PULSE.page, PULSE.page + 4).buffer).getUint32(0, true);
      const page = (next + 8 * PULSE_FACTS.stride) % PULSE_FACTS.pageCount;
      const offsetBytes = PULSE.work + page * PULSE_FACTS.pageBytes + 1234;
      const byte = guest.view(0)![offsetBytes]!;
      guest.writePages({ region: 0, offsetBytes, lengthBytes: 1 }, Uint8Array.of(byte ^ 1));
    });
    await runPulse(guest, 64);
    expect(await wordAt(guest, PULSE.health)).toBe(2);
    let output = '';
    guest.onSerial((bytes) => {
      output += Buffer.from(bytes).toString('latin1');
    });
    await guest.start();
    await until(() => output.includes('MEMORY BAD'), 'the report');
  });

  it('answers keys from the keyboard and the serial line', async () => {
    const guest = keep(await openPulse());
    let output = '';
    guest.onSerial((bytes) => {
      output += Buffer.from(bytes).toString('latin1');
    });
    const keys = (count: number) =>
      until(async () => (await wordAt(guest, PULSE.keys)) === count, `${count} keys`);
    const type = (text: string) => guest.sendSerial(Uint8Array.from(Buffer.from(text)));
    await guest.start();
    await untilUp(guest);
    type('+');
    await keys(1);
    expect(await wordAt(guest, PULSE.speed)).toBe(4);
    type('---');
    await keys(4);
    expect(await wordAt(guest, PULSE.speed)).toBe(1);
    type('?');
    await until(() => output.includes('+ faster, - slower'), 'help');
    guest.sendKeys([0x1e, 0x9e, 0x2a, 0x1e, 0x9e, 0xaa, 0x30, 0xb0]);
    await keys(8);
    expect(await lineOf(guest)).toBe('aAb');
    expect(output).toContain('aAb');
    type('c');
    await keys(9);
    expect(await lineOf(guest)).toBe('');
    type('x'.repeat(100));
    await keys(109);
    expect(await lineOf(guest)).toBe('x'.repeat(PULSE_FACTS.lineBytes));
  });

  it('counts ticks at its rate and sleeps in between', async () => {
    const guest = keep(await openPulse());
    await guest.start();
    await untilUp(guest);
    const from = await wordAt(guest, PULSE.ticks);
    await until(async () => (await wordAt(guest, PULSE.ticks)) >= from + 100, 'a hundred ticks');
    const [ticks, seconds] = [await wordAt(guest, PULSE.ticks), await wordAt(guest, PULSE.seconds)];
    expect(Math.abs(seconds - Math.floor(ticks / PULSE_FACTS.ticksPerSecond))).toBeLessThanOrEqual(1);
  });
});

/** Sets a Pulse that is up to its highest speed. */
async function hurry(guest: V86Guest): Promise<void> {
  guest.sendSerial(Uint8Array.from(Buffer.from('+++++')));
  await guest.start();
  await until(async () => (await wordAt(guest, PULSE.speed)) === 64, 'the speed');
  await guest.stop();
}

/** Lets Pulse come to rest and compares RAM with what the program's rules make of its page counter. */
async function checkModel(guest: V86Guest): Promise<void> {
  await guest.start();
  let loops = -1;
  await until(
    () =>
      paused(guest, () => {
        const bytes = guest.view(0)!.slice(0, PULSE.work + PULSE_FACTS.pageCount * PULSE_FACTS.pageBytes);
        const ram = new DataView(bytes.buffer);
        if (ram.getUint32(PULSE.worked, true) !== ram.getUint32(PULSE.ticks, true)) return false;
        loops = ram.getUint32(PULSE.loops, true);
        compareWithModel(ram, loops);
        return true;
      }),
    'rest',
  );
  await guest.stop();
  expect(loops).toBeGreaterThan(0);
}

function compareWithModel(ram: DataView<ArrayBuffer>, loops: number): void {
  const { pageCount, stride, seed, pageBytes } = PULSE_FACTS;
  const sums = new Uint32Array(pageCount);
  const pages = new Uint32Array((pageCount * pageBytes) / 4);
  let random = seed;
  for (let loop = 0; loop < loops; loop++) {
    const page = (loop * stride) % pageCount;
    let sum = 0;
    for (let word = 0; word < pageBytes / 4; word++) {
      random ^= random << 13;
      random ^= random >>> 17;
      random ^= random << 5;
      pages[(page * pageBytes) / 4 + word] = random;
      sum = (((sum << 1) | (sum >>> 31)) + random) >>> 0;
    }
    sums[page] = sum;
  }
  const memory = Buffer.from(ram.buffer, PULSE.work, pages.byteLength);
  expect(Buffer.compare(memory, Buffer.from(pages.buffer))).toBe(0);
  expect(ram.getUint32(PULSE.random, true)).toBe(random >>> 0);
  expect(ram.getUint32(PULSE.page, true)).toBe((loops * stride) % pageCount);
  expect(ram.getUint32(PULSE.rounds, true)).toBe(Math.floor(loops / pageCount));
  expect(ram.getUint32(PULSE.checksum, true)).toBe(sums.reduce((total, sum) => (total + sum) >>> 0, 0));
  expect(new Uint32Array(ram.buffer, PULSE.sums, pageCount)).toEqual(sums);
}

async function lineOf(guest: V86Guest): Promise<string> {
  const length = await wordAt(guest, PULSE.lineLength);
  return paused(guest, () =>
    Buffer.from(guest.view(0)!.slice(PULSE.line, PULSE.line + length)).toString('latin1'),
  );
}
