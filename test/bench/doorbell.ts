// For P2: resets that a v86 guest asks for itself, at an instruction of its own choice, without anybody in between. The program
// rings, is checkpointed there, runs 16,000 instructions with its timer on, and rings to be put back.

import { DOORBELL_WORDS } from '../../src/guest/doorbell.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { openRinging, RINGING } from '../guest/v86/ringing.ts';
import { type BenchResult, median } from './row.ts';

const ROUNDS = 7;
const RESETS = 1000;

export async function askingGuest(): Promise<{
  readonly results: BenchResult[];
  readonly notes: string[];
}> {
  const guest = await openRinging();
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  const perSecond: number[] = [];
  const perSecondOfProcessor: number[] = [];
  let resets = 0;
  let startMs = 0;
  let startUsage = process.cpuUsage();
  const start = () => {
    resets = 0;
    startMs = performance.now();
    startUsage = process.cpuUsage();
  };
  const done = new Promise<void>((resolve) => {
    guest.doorbell.serve(
      async () => {
        // The word is a part of the point: from here on the program asks to be put back, each time.
        const word = { region: 0, offsetBytes: RINGING.word, lengthBytes: 1 };
        guest.writePages(word, Uint8Array.of(DOORBELL_WORDS.reset));
        await tracker.checkpoint();
        start();
        guest.doorbell.serve(
          () => {
            tracker.resetNow();
            if (++resets === RESETS) {
              const { user, system } = process.cpuUsage(startUsage);
              perSecond.push((1000 * RESETS) / (performance.now() - startMs));
              perSecondOfProcessor.push((1e6 * RESETS) / (user + system));
              start();
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
  const result = (name: string, values: readonly number[]): BenchResult => {
    const ours = median(values);
    return { name, value: ours, unit: '/s', better: 'higher', goal: 1000, ours };
  };
  return {
    results: [
      result('v86 guest, asked by its doorbell', perSecond),
      result('v86 guest, asked by its doorbell, a second of processor time', perSecondOfProcessor),
    ],
    notes: [
      'The guest that asks is a program of ours on v86 with 1 MiB; a loop is the reset, 16,000 instructions and a turn of the ' +
        'event loop. By processor time it says what a machine with nothing else to do would do.',
    ],
  };
}
