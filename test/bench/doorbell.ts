// For P2: resets that a v86 guest asks for itself, at an instruction of its own choice, without anybody in between. The program
// rings, is checkpointed there, runs 16,000 instructions with its timer on, and rings to be put back.

import { DOORBELL_WORDS } from '../../src/guest/doorbell.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { openRinging, RINGING } from '../guest/v86/ringing.ts';
import { type BenchResult, median } from './row.ts';

const ROUNDS = 7;
const RESETS = 200;

export async function askingGuest(): Promise<{
  readonly results: BenchResult[];
  readonly notes: string[];
}> {
  const guest = await openRinging();
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  const perSecond: number[] = [];
  const inResetMs: number[] = [];
  let resets = 0;
  let ms = 0;
  let startMs = 0;
  const done = new Promise<void>((resolve) => {
    guest.doorbell.serve(
      async () => {
        // The word is a part of the point: from here on the program asks to be put back, each time.
        const word = { region: 0, offsetBytes: RINGING.word, lengthBytes: 1 };
        guest.writePages(word, Uint8Array.of(DOORBELL_WORDS.reset));
        await tracker.checkpoint();
        startMs = performance.now();
        guest.doorbell.serve(
          () => {
            const fromMs = performance.now();
            tracker.resetNow();
            const nowMs = performance.now();
            ms += nowMs - fromMs;
            if (++resets === RESETS) {
              perSecond.push((1000 * RESETS) / (nowMs - startMs));
              inResetMs.push(ms / RESETS);
              [resets, ms, startMs] = [0, 0, nowMs];
              if (perSecond.length === ROUNDS) {
                guest.doorbell.stop();
                resolve();
              }
            }
            return 'restored' as const;
          },
          { maxPerSecond: 1e9 },
        );
        return 'first' as const;
      },
      { maxPerSecond: 1e9 },
    );
  });
  await guest.start();
  await done;
  await tracker.close();
  const ours = median(perSecond);
  return {
    results: [
      {
        name: 'v86 guest, asked by its doorbell',
        value: ours,
        unit: '/s',
        better: 'higher',
        goal: 1000,
        ours,
      },
    ],
    notes: [
      `The guest that asks is a program of ours on v86 with 1 MiB: of each loop of ${(1000 / ours).toFixed(2)} ms the reset is ` +
        `${median(inResetMs).toFixed(2)}; the rest is 16,000 instructions and a turn of the event loop.`,
    ],
  };
}
