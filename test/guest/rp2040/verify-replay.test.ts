// Snapshots of a chip verified by replay: in another board, by the command, and where something of the host's decides.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCli } from '../../../src/host/cli/run-cli.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { openFsStore } from '../../../src/store/fs-store.ts';
import { openScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { openTestEngine } from '../../support/engine.ts';
import { openTally } from './boards.ts';

/** A board at work under an engine, saved in the middle of it. */
async function saved(store?: Parameters<typeof openTestEngine>[0]) {
  const engine = await openTestEngine(store);
  const tally = openTally();
  expect(tally.ask('w')).toContain('writing');
  const tracker = await openScanTracker(tally.board.guest, { openKernels: () => loadKernels() });
  const machine = engine.adopt('pico', tracker);
  tally.board.run(1);
  const { snapshot } = await machine.save();
  return { engine, machine, tally, id: snapshot.id };
}

describe('a snapshot of a chip', () => {
  it('runs on alike twice, and further than it was told by no more than an instruction', async () => {
    const { engine, id } = await saved();
    const spare = openTally();
    spare.board.run(12_345);
    const { steps, difference } = await engine.verifyByReplay(id, spare.board.guest, { steps: 500_000 });
    expect(difference).toBe(null);
    expect(steps).toBeGreaterThanOrEqual(500_000);
    expect(steps).toBeLessThan(500_100);
  });

  it('does not where a device of the host decides', async () => {
    const { engine, id } = await saved();
    const spare = openTally();
    // What listens is the host's, and in no snapshot: it sends a byte at the hundredth call of a function, once.
    const { chip } = spare.board;
    let calls = 0;
    chip.core.blTaken = () => {
      if (++calls === 100) chip.uart[0]!.feedByte(0x68);
    };
    const { difference } = await engine.verifyByReplay(id, spare.board.guest, { steps: 400_000 });
    expect(difference).toMatchObject({ stage: 'run' });
  });

  it('is verified by the command, which takes its program from its flash', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-replay-'));
    try {
      const store = await openFsStore(folder);
      const { machine } = await saved(store);
      await machine.close();
      await store.close();
      const printed = { out: '', error: '' };
      const write = {
        out: (text: string) => {
          printed.out += text;
        },
        error: (text: string) => {
          printed.error += text;
        },
      };
      const steps = ['--replay', '--steps', '300000'];
      const code = await runCli(['verify', '--store', folder, '--all', ...steps], write);
      expect({ code, error: printed.error }).toEqual({ code: 0, error: '' });
      expect(printed.out).toMatch(/whole; 3000\d{2} steps run twice alike/);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
