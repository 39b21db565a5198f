// A machine that runs compiled and live, saved to disk; `vitrine verify --replay` opens one of its kind and proves it.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runCli } from '../../../src/host/cli/run-cli.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { openFsStore } from '../../../src/store/fs-store.ts';
import { openScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { openTestEngine } from '../../support/engine.ts';
import { openPulse, paused } from './machines.ts';

it('proves a snapshot of a live machine by replay', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-replay-'));
  try {
    const store = await openFsStore(folder);
    const engine = await openTestEngine(store);
    const guest = await openPulse();
    const machine = engine.adopt('pulse', await openScanTracker(guest, { openKernels: () => loadKernels() }));
    await guest.start();
    await expect.poll(() => paused(guest, () => guest.view(0)!.some((byte) => byte !== 0))).toBe(true);
    guest.sendKeys([0x1e, 0x9e]);
    await machine.save();
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
    const code = await runCli(
      ['verify', '--store', folder, '--all', '--replay', '--steps', '3000000'],
      write,
    );
    expect({ code, error: printed.error }).toEqual({ code: 0, error: '' });
    expect(printed.out).toMatch(/whole; 3\d{6} steps run twice alike/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
