// A machine that a person takes back and forth over what it did.

import { describe, expect, it } from 'vitest';
import type { V86Guest } from '../../../src/guest/v86/index.ts';
import { V86Steps } from '../../../src/guest/v86/v86-steps.ts';
import { differenceOf, putInstant, takeInstant } from '../../../src/testing/guest-suites/instant.ts';
import { openPulse, paused } from './machines.ts';

const A = [0x1e, 0x9e];

async function runSteps(guest: V86Guest, steps: number): Promise<void> {
  const replay = guest.replay!;
  const from = replay.position.steps;
  await expect
    .poll(() => replay.position.steps - from, { timeout: 50_000, interval: 5 })
    .toBeGreaterThan(steps);
}

/** A machine that was used for a while, held. */
async function held() {
  const guest = await openPulse({ deterministic: true });
  await guest.start();
  await runSteps(guest, 4_000_000);
  const steps = new V86Steps(guest);
  await steps.begin();
  const start = await paused(guest, () => takeInstant(guest));
  await runSteps(guest, 500_000);
  guest.sendKeys(A);
  await runSteps(guest, 500_000);
  const place = await steps.hold();
  return { guest, steps, start, place };
}

describe('steps of a machine', () => {
  it('go back by one and on, to the beginning and to the end', async () => {
    const { guest, steps, start, place } = await held();
    expect(place.steps).toBe(place.endSteps);
    const end = await takeInstant(guest);
    const here = await steps.go(600_000);
    expect(here.steps).toBeGreaterThanOrEqual(600_000);
    const at = await takeInstant(guest);
    const next = await steps.go(here.steps + 1);
    expect(next.steps).toBe(here.steps + 1);
    expect(next.registers[0]).toMatchObject({ name: 'eip' });
    expect(next.registers).not.toEqual(here.registers);
    // What the processor runs next, and runs then.
    const { code, registers } = next;
    const pointer = registers[0]!.value;
    expect(code).toEqual(guest.view(0)!.slice(pointer, pointer + 15));
    const again = await steps.go(here.steps);
    expect(again).toEqual(here);
    expect(differenceOf(await takeInstant(guest), at)).toBe('none');
    expect((await steps.go(0)).steps).toBe(0);
    expect(differenceOf(await takeInstant(guest), start)).toBe('none');
    expect((await steps.go(place.endSteps + 99)).steps).toBe(place.endSteps);
    expect(differenceOf(await takeInstant(guest), end)).toBe('none');
    await guest.close();
  });

  it('go back over a sleep to before the instruction that halted', async () => {
    const { guest, steps, place } = await held();
    let here = place;
    let slept = 0;
    for (let back = 0; back < 12; back++) {
      const before = await steps.go(here.steps - 1);
      expect(before.steps).toBeLessThan(here.steps);
      if (before.steps < here.steps - 1) {
        slept++;
        // `hlt`, or `sti` with the `hlt` that it shields, which are one step.
        expect(before.code[before.code[0] === 0xfb ? 1 : 0]).toBe(0xf4);
        expect((await steps.go(before.steps + 1)).steps).toBe(here.steps);
      }
      here = before;
    }
    expect(slept).toBeGreaterThan(0);
    await guest.close();
  });

  it('end where it is let go, and it runs on from there', async () => {
    const { guest, steps } = await held();
    await steps.go(300_000);
    await steps.release();
    await runSteps(guest, 200_000);
    // And are to be had anew.
    await steps.begin();
    await runSteps(guest, 200_000);
    const { endSteps } = await steps.hold();
    expect((await steps.go(endSteps - 1)).steps).toBeLessThanOrEqual(endSteps);
    await steps.release();
    await steps.release();
    await guest.close();
  });

  it('are right also where somebody restored the machine meanwhile', async () => {
    const { guest, steps, start } = await held();
    await steps.go(300_000);
    const at = await takeInstant(guest);
    await steps.go(500_000);
    await putInstant(guest, start);
    const { steps: here } = await steps.go(300_000);
    expect(here).toBe((await steps.go(here)).steps);
    expect(differenceOf(await takeInstant(guest), at)).toBe('none');
    await guest.close();
  });

  it('say when they cannot', async () => {
    const guest = await openPulse({ deterministic: true });
    await guest.start();
    const steps = new V86Steps(guest);
    await expect(steps.hold()).rejects.toMatchObject({ code: 'wrong-state', data: { actual: 'live' } });
    await expect(steps.go(1)).rejects.toMatchObject({ code: 'wrong-state' });
    const start = await paused(guest, () => takeInstant(guest));
    await steps.begin();
    await expect(steps.begin()).rejects.toMatchObject({ code: 'wrong-state', data: { actual: 'noting' } });
    await paused(guest, () => putInstant(guest, start));
    await expect(steps.hold()).rejects.toMatchObject({
      code: 'wrong-state',
      data: { actual: 'the machine was restored' },
    });
    // It runs on.
    await runSteps(guest, 100_000);
    await steps.begin();
    await steps.hold();
    await expect(steps.go(-1)).rejects.toMatchObject({ code: 'argument-invalid' });
    await guest.close();
    const live = await openPulse();
    expect(() => new V86Steps(live)).toThrow(expect.objectContaining({ code: 'unsupported' }));
    await live.close();
  });
});
