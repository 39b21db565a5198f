// The guest's time across restores: in one instance again and again, and in a tab whose clock starts over.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { PULSE } from '../../../src/guest/pulse/pulse.ts';
import type { V86Guest } from '../../../src/guest/v86/index.ts';
import { adopted, hostClock, readTimers } from './adopted.ts';
import { restore, runPulse, save, until, wordAt } from './machines.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const guests: V86Guest[] = [];
afterEach(async () => {
  for (const guest of guests.splice(0)) await guest.close();
});

/** As `adopt`, closed at the end of the test. */
async function adopt(...args: Parameters<typeof adopted>): ReturnType<typeof adopted> {
  const made = await adopted(...args);
  guests.push(made.guest);
  return made;
}

describe('v86 goes on after a restore with', () => {
  it('the time-stamp counter, in the first restore as in the second and third', async () => {
    const { guest, emulator } = await adopt();
    await runPulse(guest);
    const { cpu } = emulator.v86;
    const counter = () => BigInt.asUintN(64, cpu.wm.exports.read_tsc());
    const known = counter();
    const saved = await save(guest);
    for (let round = 0; round < 4; round++) {
      // The guest sets its counter elsewhere, each time.
      cpu.set_tsc(0x1234_5678, 0x9abc_0000 + 0x1000 * round);
      await runPulse(guest, 8);
      await restore(guest, saved);
      const began = performance.now();
      await runPulse(guest, 8);
      const gapMs = Number(counter() - known) / 1e6;
      // It goes on from the save: neither before it nor more than a second of a busy host after.
      expect(gapMs).toBeGreaterThan(0);
      expect(gapMs).toBeLessThan(performance.now() - began + 1000);
    }
  });

  it('its timers at their pace, in a tab whose clock starts over or is hours ahead', async () => {
    const first = await hostClock((clock) => adopt({ acpi: true }, clock));
    await runPulse(first.guest, 64);
    const saved = await save(first.guest);
    const ticks = await wordAt(first.guest, PULSE.ticks);
    const timers = readTimers(first);
    for (const startMs of [0, 36e5]) {
      await hostClock(async (clock) => {
        clock.set(startMs);
        const other = await adopt({ acpi: true }, clock);
        await restore(other.guest, saved);
        // Hours may pass before it runs.
        clock.set(startMs + 7 * 36e5);
        const began = performance.now();
        await other.guest.start();
        await until(async () => (await wordAt(other.guest, PULSE.ticks)) >= ticks + 20, 'twenty ticks');
        await other.guest.stop();
        const tookMs = performance.now() - began;
        const counted = (await wordAt(other.guest, PULSE.ticks)) - ticks;
        // A hundred a second, with much room for a busy host and none for hours made up at once.
        expect(tookMs).toBeGreaterThan(100);
        expect(counted).toBeLessThan(20 + tookMs / 5);
        for (const [name, timerMs] of Object.entries(readTimers(other))) {
          const wentOnMs = timerMs - timers[name]!;
          expect({ name, good: wentOnMs > 0 && wentOnMs < tookMs + 1000 }).toEqual({ name, good: true });
        }
      });
    }
  });
});
