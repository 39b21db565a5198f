// An interpreted machine that is ended at any instruction: each one alone, and cuts that leave no trace.

import { describe, expect, it } from 'vitest';
import { encodeInputLog } from '../../../src/guest/input-log.ts';
import { recordInput, replayInput, type V86Guest } from '../../../src/guest/v86/index.ts';
import { differenceOf, putInstant, takeInstant } from '../../../src/testing/guest-suites/instant.ts';
import { Random } from '../../../src/testing/random.ts';
import { seedOfRun } from '../../support/seed.ts';
import { openProgram, openPulse, paused, steppedProgram, v86Program } from './machines.ts';

/** `xor ax, ax; mov ds, ax; again: inc word [0x500]; jmp again`. */
const COUNTING = Uint8Array.of(0x31, 0xc0, 0x8e, 0xd8, 0xff, 0x06, 0x00, 0x05, 0xeb, 0xfa);

/** What `COUNTING` counted after so many instructions, the jump of the reset vector among them. */
const countAfter = (steps: number) => Math.max(0, Math.floor((steps - 2) / 2));

/**
 * Timer interrupts at 1 ms that count at 0x500, while a loop of `rdtsc`, `cli` and `sti` adds up what the time-stamp counter
 * says at 0x504, reads the timer, and halts each 65,536th time.
 */
const TICKING = Uint8Array.of(
  ...[0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x70],
  // The vector of interrupt 8: f000:0050.
  ...[0xc7, 0x06, 0x20, 0x00, 0x50, 0x00, 0xc7, 0x06, 0x22, 0x00, 0x00, 0xf0],
  // Both controllers begin: vectors from 8, all but the timer masked.
  ...[0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x08, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21],
  ...[0xb0, 0xfe, 0xe6, 0x21],
  // The timer: channel 0, mode 2, 1,193 of its ticks.
  ...[0xb0, 0x34, 0xe6, 0x43, 0xb0, 0xa9, 0xe6, 0x40, 0xb0, 0x04, 0xe6, 0x40, 0xfb],
);
const TICKING_LOOP = Uint8Array.of(
  ...[0x0f, 0x31, 0x01, 0x06, 0x04, 0x05, 0xe4, 0x40, 0x00, 0x06, 0x06, 0x05],
  // `pushf; pop ax; add [0x50c], ax; cli`
  ...[0x9c, 0x58, 0x01, 0x06, 0x0c, 0x05, 0xfa, 0x0f, 0x31, 0x01, 0x06, 0x08, 0x05, 0xfb],
  ...[0xff, 0x06, 0x0a, 0x05, 0x75, 0xe0, 0xf4, 0xeb, 0xdd],
);
/** `push ax; inc word [0x500]; mov al, 0x20; out 0x20, al; pop ax; iret`. */
const ON_TICK = [0x50, 0xff, 0x06, 0x00, 0x05, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf];

function ticking(): Uint8Array {
  const code = new Uint8Array(0x100).fill(0x90);
  code.set(TICKING);
  code.set(ON_TICK, 0x50);
  code.set([0xeb, 0x60 - TICKING.length - 2], TICKING.length);
  code.set(TICKING_LOOP, 0x60);
  return code;
}

const wordAt = (guest: V86Guest, address: number) => {
  const ram = guest.view(0)!;
  return ram[address]! | (ram[address + 1]! << 8);
};

describe('single steps', () => {
  it('end behind each instruction, across slices too', async () => {
    const guest = await openProgram(COUNTING, 0, { deterministic: true });
    await paused(guest, async () => {
      const replay = guest.replay!;
      expect(replay.isStepped).toBe(true);
      replay.begin();
      for (let steps = 1; steps < 40; steps++) {
        expect((await replay.runTo(steps)).steps).toBe(steps);
        expect(wordAt(guest, 0x500), `after ${steps}`).toBe(countAfter(steps));
      }
      for (const steps of [100_002, 100_003, 100_004, 123_456]) {
        expect(await replay.runTo(steps)).toEqual({ steps, slices: steps < 100_003 ? 0 : 1 });
        expect(wordAt(guest, 0x500), `after ${steps}`).toBe(countAfter(steps) & 0xffff);
      }
    });
    await guest.close();
  });

  it('leave no trace in a machine with interrupts, clocks and halts', async () => {
    const random = new Random(seedOfRun());
    const guest = await openProgram(ticking(), 0, { deterministic: true });
    await paused(guest, async () => {
      const replay = guest.replay!;
      const start = await takeInstant(guest);
      replay.begin();
      await replay.run(3_000_000);
      const { steps } = replay.position;
      const whole = await takeInstant(guest);
      expect(wordAt(guest, 0x500)).toBeGreaterThan(20);
      await putInstant(guest, start);
      replay.begin();
      while (replay.position.steps < steps) {
        const { steps: here } = replay.position;
        const most = random.below(4) === 0 ? 3 : 40_000;
        await replay.runTo(Math.min(steps, here + 1 + random.below(most)));
        // Looking changes nothing.
        if (random.below(16) === 0) guest.saveDevices();
      }
      expect(replay.position.steps).toBe(steps);
      expect(differenceOf(await takeInstant(guest), whole)).toBe('none');
    });
    await guest.close();
  });

  it('go back by one, and on again', async () => {
    const random = new Random(seedOfRun());
    const guest = await openPulse({ deterministic: true });
    await paused(guest, async () => {
      await guest.replay!.run(4_000_000);
      const start = await takeInstant(guest);
      const recording = recordInput(guest);
      guest.sendKeys([0x1e, 0x9e]);
      await guest.replay!.run(900_000);
      guest.sendKeys([0x30, 0xb0]);
      await guest.replay!.run(900_000);
      await expect(guest.replay!.runTo(1)).rejects.toMatchObject({ code: 'wrong-state' });
      const log = recording.stop();
      expect(encodeInputLog(log).length).toBeGreaterThan(100);
      await putInstant(guest, start);
      const replayer = replayInput(guest, log);
      const restore = () => putInstant(guest, start);
      for (let time = 0; time < 4; time++) {
        const { steps: before } = await replayer.runTo(100_000 + random.below(1_500_000));
        const one = await takeInstant(guest);
        const { steps: at } = await replayer.runTo(before + 1);
        const two = await takeInstant(guest);
        expect(at).toBe(before + 1);
        expect((await replayer.stepBack(1, restore)).steps).toBe(before);
        expect(differenceOf(await takeInstant(guest), one)).toBe('none');
        await replayer.runTo(at);
        expect(differenceOf(await takeInstant(guest), two)).toBe('none');
        await replayer.stepBack(at, restore);
      }
      expect(await replayer.runTo('end')).toEqual(log.end);
    });
    await guest.close();
  });

  it('tell of a save in the middle of a slice, which is not without a trace', async () => {
    const guest = await openProgram(COUNTING, 0, { deterministic: true });
    await paused(guest, async () => {
      const replay = guest.replay!;
      replay.begin();
      let disturbed = 0;
      replay.onDisturbed = () => disturbed++;
      await replay.runTo(1000);
      guest.saveDevices();
      expect(disturbed).toBe(0);
      guest.takeDirty().commit();
      expect(disturbed).toBe(1);
      // Between two slices it leaves none.
      await replay.run(100_003 - 1000);
      expect(replay.position).toEqual({ steps: 100_003, slices: 1 });
      guest.takeDirty().commit();
      expect(disturbed).toBe(1);
    });
    await guest.close();
  });

  it('are those of the program that was compiled for them', async () => {
    const plain = await v86Program();
    await expect(openPulse({ deterministic: true, wasm: plain })).rejects.toMatchObject({
      code: 'argument-invalid',
      data: { name: 'wasm' },
    });
    await expect(openPulse({ wasm: await steppedProgram() })).rejects.toMatchObject({
      code: 'argument-invalid',
      data: { name: 'wasm' },
    });
  });
});
