// The recent past of a QEMU machine, as a person keeps it at a bridge: points by themselves, gone back to and on from, a bookmark, and the
// next bridge that goes on with it.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RunningCommand, startCommand } from '../host/cli/shell.ts';
import { pulseRomFile } from './pulse-machine.ts';
import { pulseShell } from './pulse-shell.ts';

let folder = '';
let environment: NodeJS.ProcessEnv = {};
let rom: Awaited<ReturnType<typeof pulseRomFile>>;
let bridge: RunningCommand | undefined;

interface Point {
  readonly snapshot: string;
  readonly parent: string | null;
  readonly bookmark: string | null;
  readonly isHere: boolean;
}

const { vitrine, done, json, pulseOf, untilMore, stateOf } = pulseShell(() => environment);

async function startBridge(...more: string[]): Promise<void> {
  bridge = startCommand(['serve', '--listen', '127.0.0.1:0', '--json', ...more], environment);
  await bridge.firstLine;
}

async function stopBridge(): Promise<void> {
  bridge?.interrupt();
  expect(await bridge?.ended).toMatchObject({ code: 0 });
  bridge = undefined;
}

const points = async (): Promise<Point[]> => (await json('rewind', 'list', 'pulse')).points;
const untilPoints = (count: number) =>
  expect.poll(async () => (await points()).length, { timeout: 60_000 }).toBeGreaterThanOrEqual(count);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-rewind-'));
  environment = {
    VITRINE_RUN_DIR: join(folder, 'run'),
    VITRINE_STORE: join(folder, 'store'),
    VITRINE_MACHINES_DIR: join(folder, 'machines'),
  };
  rom = await pulseRomFile();
  await startBridge('--keep-machines');
});
afterAll(async () => {
  if (bridge !== undefined) await stopBridge();
  await rom?.remove();
  await rm(folder, { recursive: true, force: true });
});

it('is kept, gone back to, and gone on from', async () => {
  await done('run', 'pulse', '--memory', '16M', '--', '-cpu', 'qemu64,-apic', '-bios', rom.bios);
  await untilMore('pulse', 3);
  expect(await done('rewind', 'list', 'pulse')).toBe('');
  await done('rewind', 'start', 'pulse', '--every', '300ms', '--budget', '64M');
  await untilPoints(5);
  const [first, second, ...later] = await points();
  await done('rewind', 'seek', 'pulse', second!.snapshot);
  expect(await stateOf('pulse')).toBe('paused');
  const at = await pulseOf('pulse');
  const last = later.at(-1)!.snapshot;
  await done('rewind', 'seek', 'pulse', last.slice(0, 16));
  expect((await pulseOf('pulse')).loops).toBeGreaterThan(at.loops);
  await done('rewind', 'seek', 'pulse', second!.snapshot);
  expect(await pulseOf('pulse')).toEqual(at);
  expect((await points()).find(({ isHere }) => isHere)?.snapshot).toBe(second!.snapshot);
  await done('rewind', 'bookmark', 'pulse', first!.snapshot, '--label', 'as it began');
  await done('rewind', 'resume', 'pulse');
  await untilMore('pulse', at.loops + 5);
  // What it did the first time is there still, beside what it does now.
  await expect
    .poll(async () => (await points()).filter(({ parent }) => parent === second!.snapshot).length, {
      timeout: 60_000,
    })
    .toBe(2);
  expect((await points()).map(({ snapshot }) => snapshot)).toContain(last);
  expect(await done('rewind', 'list', 'pulse')).toMatch(/as it began$/m);
});

it('is gone on with by the next bridge, and forgotten but for bookmarks', async () => {
  await stopBridge();
  await startBridge();
  await untilPoints((await points()).length + 2);
  await done('rewind', 'stop', 'pulse', '--forget');
  expect(await points()).toMatchObject([{ bookmark: 'as it began' }]);
  expect((await json('log', 'pulse')).snapshots).toHaveLength(1);
  const [{ snapshot }] = (await points()) as [Point];
  await done('rewind', 'seek', 'pulse', 'as it began');
  expect((await points()).find(({ isHere }) => isHere)?.snapshot).toBe(snapshot);
  const { loops } = await pulseOf('pulse');
  await done('rewind', 'resume', 'pulse');
  await untilMore('pulse', loops + 3);
  expect(await vitrine('rewind', 'seek', 'pulse')).toMatchObject({ code: 2 });
  expect(await vitrine('rewind', 'start', 'nobody')).toMatchObject({ code: 3 });
  expect(await vitrine('rewind', 'start', 'pulse', '--every', 'now')).toMatchObject({ code: 2 });
  await done('stop', 'pulse');
});
