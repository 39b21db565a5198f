// Checkpoints of whole guests: from one point each does the same again, however far it went meanwhile, and its memory and
// devices are the point's to the byte.

import { afterEach, describe, expect, it } from 'vitest';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { openMicroPython } from '../../src/guest/micropython/micropython.ts';
import { PULSE, PULSE_FACTS } from '../../src/guest/pulse/pulse.ts';
import { instantiateCaught } from '../../src/guest/wasm/catch-instance.ts';
import { WasmInstanceGuest } from '../../src/guest/wasm/wasm-instance.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { differenceOf, takeInstant } from '../../src/testing/guest-suites/instant.ts';
import { type Subject, whilePaused } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { openPulse, runPulse } from '../guest/v86/machines.ts';
import { type ChurnExports, churnModule } from '../guest/wasm/churn.ts';
import { loadMicroPython, wasmUrl } from '../support/micropython-loader.ts';
import { seedOfRun } from '../support/seed.ts';

const opened: Guest[] = [];
afterEach(async () => {
  for (const guest of opened.splice(0)) await guest.close();
});

interface Case extends Subject {
  /** What is done between two resets, and never told. */
  wander?(random: Random): void | Promise<void>;
}

async function openFlat(tracking: 'none' | 'marks'): Promise<Case> {
  const bytes = new Uint8Array(600_000);
  const guest = new FlatGuest({ regions: [{ name: 'ram', bytes }], tracking });
  return { guest, run: async () => guest.run(100) };
}

async function openChurn(): Promise<Case> {
  const { exports, caught } = await instantiateCaught(churnModule(), { env: { host: () => {} } });
  // Safe: the module exports just these.
  const { run, grow } = exports as unknown as ChurnExports;
  const guest = new WasmInstanceGuest(caught, { program: 'churn' });
  // Memory and table grow meanwhile: what cannot shrink must be as the point had it for all that the program sees.
  const wander = (random: Random) => {
    if (random.chance(0.3)) grow();
  };
  return { guest, wander, run: async () => String(run(50)) };
}

async function openPython(): Promise<Case> {
  const guest = await openMicroPython({ loadMicroPython, wasmUrl });
  let printed = '';
  guest.onOutput((bytes) => (printed += new TextDecoder('latin1').decode(bytes)));
  await guest.paste(
    'n = 1\nlog = []\ndef step():\n    global n\n    n = n * 7 % 10007\n    log.append(str(n))\n',
  );
  const run = async () => {
    printed = '';
    await guest.type('[step() for _ in range(20)] and 0, n, len(log)\r');
    return printed;
  };
  const wander = () => guest.type('open("/f", "w").write("x"); log = [[i] for i in range(50)]\r');
  return { guest, run, wander };
}

async function openPc(): Promise<Case> {
  const guest = await openPulse();
  await runPulse(guest);
  const run = async () => {
    const goal = await runPulse(guest);
    return whilePaused(guest, () => {
      const ram = guest.view(0)!;
      const view = new DataView(ram.buffer, ram.byteOffset);
      const sums = Array.from({ length: 16 }, (_, i) => {
        const page = ((goal - 16 + i) * PULSE_FACTS.stride) % PULSE_FACTS.pageCount;
        return view.getUint32(PULSE.sums + 4 * page, true);
      });
      return `${goal}: ${sums.join()} health ${view.getUint32(PULSE.health, true)}`;
    });
  };
  return { guest, run };
}

const CASES: readonly { name: string; open: () => Promise<Case>; resets: number; atOnce: boolean }[] = [
  { name: 'a flat guest', open: () => openFlat('none'), resets: 100, atOnce: true },
  { name: 'a flat guest with marks', open: () => openFlat('marks'), resets: 100, atOnce: true },
  { name: 'a WebAssembly program', open: openChurn, resets: 100, atOnce: true },
  { name: 'MicroPython', open: openPython, resets: 8, atOnce: true },
  { name: 'v86 with Pulse', open: openPc, resets: 6, atOnce: false },
];

describe.each(CASES)('$name', ({ open, resets, atOnce }) => {
  it('does the same again from a checkpoint, which is put back to the byte', async () => {
    const random = new Random(seedOfRun());
    const subject = await open();
    const { guest } = subject;
    opened.push(guest);
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    await subject.run();
    await tracker.checkpoint();
    const point = await whilePaused(guest, () => takeInstant(guest));
    const onward = await subject.run();
    for (let round = 0; round < resets; round++) {
      for (let runs = random.below(3); runs > 0; runs--) await subject.run();
      await subject.wander?.(random);
      const where = `reset ${round}; SEED=${random.seed}`;
      // Compared before it runs again: then a clock goes on, and memory that had grown is seen to have.
      await whilePaused(guest, async () => {
        if (atOnce && random.chance(0.5)) tracker.resetNow();
        else await tracker.resetToCheckpoint();
        const difference = differenceOf(point, await takeInstant(guest));
        expect(difference, where).toBe('none');
      });
      expect(await subject.run(), where).toBe(onward);
    }
  });
});

describe('a WebAssembly program', () => {
  it('is refused a reset from inside itself, and goes on', async () => {
    let inside: unknown;
    let reset = () => {};
    const host = () => {
      try {
        reset();
      } catch (error) {
        inside = error;
      }
    };
    const { exports, caught } = await instantiateCaught(churnModule(), { env: { host } });
    const { run } = exports as unknown as ChurnExports;
    const guest = new WasmInstanceGuest(caught, { program: 'churn' });
    opened.push(guest);
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    await tracker.checkpoint();
    const onward = run(5);
    reset = () => void tracker.resetNow();
    run(5);
    expect(inside).toMatchObject({ code: 'guest-not-quiescent' });
    reset = () => {};
    tracker.resetNow();
    expect(run(5)).toBe(onward);
  });

  it('rests at once only while no other pause still waits', async () => {
    const { exports, caught } = await instantiateCaught(churnModule(), { env: { host: () => {} } });
    const { run } = exports as unknown as ChurnExports;
    const guest = new WasmInstanceGuest(caught, { program: 'churn' });
    opened.push(guest);
    let leave = () => {};
    const call = guest.enter(() => new Promise<void>((resolve) => (leave = resolve)));
    expect(() => guest.pauseNow()).toThrow(expect.objectContaining({ code: 'guest-not-quiescent' }));
    const pausing = guest.pause();
    expect(() => guest.pauseNow()).toThrow(expect.objectContaining({ code: 'guest-not-quiescent' }));
    leave();
    await Promise.all([call, pausing]);
    guest.pauseNow();
    await guest.pause();
    guest.resumeNow();
    guest.resumeNow();
    expect(() => run(1)).toThrow(expect.objectContaining({ code: 'wrong-state' }));
    await guest.resume();
    run(1);
  });
});
