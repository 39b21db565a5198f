// For P2: resets of a guest in plain JavaScript, an RP2040 by rp2040js whose firmware writes memory hard, against putting
// back all of its SRAM and its whole device state.

import { openRp2040, tallyFirmware } from '../../src/guest/rp2040/index.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { type BenchResult, mediansOf } from './row.ts';

const LOOPS = 300;
const ROUNDS = 9;
/** A run between two resets: about 1,500 instructions, as many as a small parser takes for a document. */
const CYCLES = 3_000;
const START_CYCLES = 2_000_000;

export async function javascriptGuest(): Promise<{
  readonly results: BenchResult[];
  readonly notes: string[];
}> {
  const board = openRp2040({ firmware: tallyFirmware(), memory: 'private' });
  const { guest } = board;
  board.run(START_CYCLES);
  board.sendSerial(new TextEncoder().encode('w\r'));
  board.run(START_CYCLES);
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  await tracker.checkpoint();
  let pages = 0;
  // The marks are audited first: they are believed after three resets that found changes.
  for (let round = 0; round < 8; round++) {
    board.run(100 * CYCLES);
    tracker.resetNow();
  }
  guest.pauseNow!();
  const sram = guest.view(0)!.slice();
  const devices = guest.saveDevices();
  guest.resumeNow!();
  const loop = (back: () => void) => () => {
    for (let i = 0; i < LOOPS; i++) {
      board.run(CYCLES);
      back();
    }
  };
  const ms = await mediansOf(ROUNDS, {
    ours: loop(() => {
      pages = tracker.resetNow().pagesWritten;
    }),
    copy: loop(() => {
      guest.pauseNow!();
      guest.writePages({ region: 0, offsetBytes: 0, lengthBytes: sram.length }, sram);
      guest.loadDevices(devices);
      guest.resumeNow!();
    }),
    // The run alone, which goes on and on.
    run: loop(() => {}),
  });
  const { tier } = await tracker.describe();
  await tracker.close();
  const perSecond = (one: number) => (LOOPS / one) * 1000;
  return {
    results: [
      {
        name: `pure-JavaScript guest (${tier}) vs copy of its RAM`,
        value: perSecond(ms.ours),
        unit: '/s',
        better: 'higher',
        goal: 1000,
        ours: perSecond(ms.ours),
        peer: perSecond(ms.copy),
      },
    ],
    notes: [
      `The pure-JavaScript guest is an RP2040 (264 KiB of RAM, 2 MiB of flash, a graph of ${board.graphSize.objects} objects) that ` +
        `runs ${CYCLES} cycles and writes ${pages} pages of 1 KiB between two resets; a run is included, of which ` +
        `${(perSecond(ms.run) / 1000).toFixed(0)},000 a second would go without a reset.`,
    ],
  };
}
