// A v86 machine that does the same each time: Pulse, with keys, run again three times, elsewhere, and with one key wrong.

import { describe, expect, it } from 'vitest';
import type { OwnedBytes } from '../../../src/base/bytes.ts';
import { decodeInputLog, encodeInputLog, type InputLog } from '../../../src/guest/input-log.ts';
import { recordInput, replayInput, type V86Guest } from '../../../src/guest/v86/index.ts';
import {
  differenceOf,
  type Instant,
  putInstant,
  takeInstant,
} from '../../../src/testing/guest-suites/instant.ts';
import { openPulse, paused } from './machines.ts';

const A = [0x1e, 0x9e];
const B = [0x30, 0xb0];

/** A run with keys, recorded: where it began, its log, where it ended. */
interface Recorded {
  readonly start: Instant;
  readonly log: OwnedBytes;
  readonly middle: Instant;
  readonly middleSteps: number;
  readonly end: Instant;
}

async function recorded(guest: V86Guest): Promise<Recorded> {
  await guest.pause();
  const start = await takeInstant(guest);
  const recording = recordInput(guest);
  const runOn = async (keys: readonly number[], steps: number) => {
    guest.sendKeys(keys);
    guest.sendSerial(Uint8Array.of(keys[0]!));
    await guest.resume();
    const { replay } = guest;
    const from = replay!.position.steps;
    await expect
      .poll(() => replay!.position.steps - from, { timeout: 50_000, interval: 5 })
      .toBeGreaterThan(steps);
    await guest.pause();
  };
  await runOn(A, 3_000_000);
  const middle = await takeInstant(guest);
  const middleSteps = guest.replay!.position.steps;
  await runOn(B, 2_000_000);
  const log = encodeInputLog(recording.stop());
  const end = await takeInstant(guest);
  await guest.resume();
  return { start, log, middle, middleSteps, end };
}

async function started(compile = false): Promise<V86Guest> {
  const guest = await openPulse({ deterministic: true, compile });
  await guest.start();
  const { replay } = guest;
  await expect
    .poll(() => replay!.position.steps, { timeout: 50_000, interval: 5 })
    .toBeGreaterThan(4_000_000);
  return guest;
}

describe('a recorded machine', () => {
  it('does the same three times, in the middle and at the end, saves in between or not', async () => {
    const guest = await started();
    const run = await recorded(guest);
    const log = decodeInputLog(run.log);
    expect(log.inputs.length).toBeGreaterThanOrEqual(6);
    for (let time = 0; time < 3; time++) {
      await paused(guest, async () => {
        await putInstant(guest, run.start);
        const replayer = replayInput(guest, log);
        if (time > 0) {
          const at = await replayer.runTo(run.middleSteps);
          expect(at.steps).toBe(run.middleSteps);
          expect(differenceOf(await takeInstant(guest), run.middle)).toBe('none');
          // What a save does: it empties the TLB.
          guest.takeDirty().commit();
        }
        expect(await replayer.runTo('end')).toEqual(log.end);
        expect(differenceOf(await takeInstant(guest), run.end)).toBe('none');
      });
    }
    await guest.close();
  });

  it('is found out where one input was another', async () => {
    const guest = await started();
    const run = await recorded(guest);
    const log = decodeInputLog(run.log);
    const wrong: InputLog = {
      ...log,
      inputs: log.inputs.map((input, i) => (i === 2 ? { ...input, value: 0x63 } : input)),
    };
    await paused(guest, async () => {
      await putInstant(guest, run.start);
      await expect(replayInput(guest, wrong).runTo('end')).rejects.toMatchObject({ code: 'replay-diverged' });
      await putInstant(guest, run.start);
      const late = { ...log, inputs: log.inputs.map((input) => ({ ...input, steps: input.steps + 1 })) };
      await expect(replayInput(guest, late).runTo('end')).rejects.toMatchObject({
        code: 'replay-diverged',
        data: { where: 'input 0' },
      });
      // Over another state it does not begin.
      await putInstant(guest, run.middle);
      expect(() => replayInput(guest, log)).toThrow(expect.objectContaining({ code: 'guest-mismatch' }));
    });
    await guest.close();
  });

  it('steps back, in another instance as well', async () => {
    const [guest, other] = await Promise.all([started(), openPulse({ deterministic: true })]);
    const run = await recorded(guest);
    const log = decodeInputLog(run.log);
    await paused(other, async () => {
      await putInstant(other, run.start);
      const replayer = replayInput(other, log);
      await replayer.runTo('end');
      expect(differenceOf(await takeInstant(other), run.end)).toBe('none');
      const back = log.end.steps - run.middleSteps;
      const at = await replayer.stepBack(back, () => putInstant(other, run.start));
      expect(at.steps).toBe(run.middleSteps);
      expect(differenceOf(await takeInstant(other), run.middle)).toBe('none');
      await replayer.runTo('end');
      expect(differenceOf(await takeInstant(other), run.end)).toBe('none');
    });
    await Promise.all([guest.close(), other.close()]);
  });

  it('boots alike twice', async () => {
    const ends: Instant[] = [];
    for (let time = 0; time < 2; time++) {
      const guest = await openPulse({ deterministic: true });
      await paused(guest, async () => {
        await guest.replay!.run(5_000_000);
        ends.push(await takeInstant(guest));
      });
      await guest.close();
    }
    expect(differenceOf(ends[0]!, ends[1]!)).toBe('none');
  });

  it('does the same compiled, also where other code was compiled before', async () => {
    const [guest, other] = await Promise.all([
      started(true),
      openPulse({ deterministic: true, compile: true }),
    ]);
    const run = await recorded(guest);
    const log = decodeInputLog(run.log);
    for (const one of [guest, other, other]) {
      await paused(one, async () => {
        await putInstant(one, run.start);
        const replayer = replayInput(one, log);
        await replayer.runTo(run.middleSteps);
        expect(differenceOf(await takeInstant(one), run.middle)).toBe('none');
        one.takeDirty().commit();
        expect(await replayer.runTo('end')).toEqual(log.end);
        expect(differenceOf(await takeInstant(one), run.end)).toBe('none');
        // Warm: what it compiled by now is forgotten at the next beginning.
        await one.replay!.run(3_000_000);
      });
    }
    const interpreted = await openPulse({ deterministic: true });
    await paused(interpreted, async () => {
      await putInstant(interpreted, run.start);
      expect(() => replayInput(interpreted, log)).toThrow(
        expect.objectContaining({
          code: 'guest-mismatch',
          data: expect.objectContaining({ field: 'compile' }),
        }),
      );
    });
    await Promise.all([guest.close(), other.close(), interpreted.close()]);
  });

  it('says when a recording cannot go on, and what has none', async () => {
    const guest = await started();
    await paused(guest, async () => {
      const start = await takeInstant(guest);
      const full = recordInput(guest, { maxBytes: 40 });
      expect(() => recordInput(guest)).toThrow(expect.objectContaining({ code: 'wrong-state' }));
      await guest.resume();
      guest.sendKeys([...A, ...B]);
      await guest.pause();
      expect(full.ended).toBe('the log is full');
      expect(() => full.stop()).toThrow(expect.objectContaining({ code: 'wrong-state' }));
      const restored = recordInput(guest);
      await putInstant(guest, start);
      expect(restored.ended).toBe('the machine was restored');
    });
    await guest.close();
    const live = await openPulse();
    expect(() => recordInput(live)).toThrow(expect.objectContaining({ code: 'unsupported' }));
    await live.close();
    const refused = openPulse({ deterministic: true, network: 'ne2k' });
    await expect(refused).rejects.toMatchObject({ code: 'argument-invalid' });
  });

  it('leaves the host its time', async () => {
    const before = globalThis.Date;
    const guest = await started();
    await paused(guest, () => guest.replay!.run(500_000));
    expect(globalThis.Date).toBe(before);
    const live = await openPulse();
    await live.start();
    await expect.poll(() => paused(live, () => live.view(0)!.some((byte) => byte !== 0))).toBe(true);
    await Promise.all([guest.close(), live.close()]);
  });
});
