// The commands against a real QEMU, as a person would type them: Pulse is started, saved, looked into, put back, forked, stopped
// and brought back, also by the next bridge. Its generator says each time whether its memory is what it was.

import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selfTest } from '../../src/host/qemu/self-test.ts';
import { type RunningCommand, startCommand } from '../host/cli/shell.ts';
import { NO_PAGE_FAULTS, pulseRomFile, QEMUS } from './pulse-machine.ts';
import { pulseShell } from './pulse-shell.ts';

let folder = '';
let environment: NodeJS.ProcessEnv = {};
let rom: Awaited<ReturnType<typeof pulseRomFile>>;
let bridge: RunningCommand | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-serve-qemu-'));
  environment = { VITRINE_RUN_DIR: join(folder, 'run'), VITRINE_STORE: join(folder, 'store') };
  rom = await pulseRomFile();
  await startBridge();
});

afterAll(async () => {
  await stopBridge();
  await rom?.remove();
  await rm(folder, { recursive: true, force: true });
});

async function startBridge(): Promise<void> {
  bridge = startCommand(['serve', '--listen', '127.0.0.1:0', '--json'], environment);
  await bridge.firstLine;
}

async function metrics(): Promise<string> {
  const { origin, tokenFile } = JSON.parse(await bridge!.firstLine) as { origin: string; tokenFile: string };
  const { token } = JSON.parse(await readFile(tokenFile, 'utf8')) as { token: string };
  const response = await fetch(`${origin}/metrics`, { headers: { Authorization: `Bearer ${token}` } });
  return response.text();
}

async function stopBridge(): Promise<void> {
  bridge?.interrupt();
  expect(await bridge?.ended).toMatchObject({ code: 0 });
  bridge = undefined;
}

const { marks } = await selfTest({ program: QEMUS[0]!.program, accelerator: 'tcg' });
const { vitrine, done, json, pulseOf, untilMore, stateOf } = pulseShell(() => environment);

describe('a machine of QEMU', () => {
  let snapshot = '';
  let loops = 0;

  it('is started, saved and put back in place', async () => {
    await done('run', 'pulse', '--memory', '16M', '--', '-cpu', 'qemu64,-apic', '-bios', rom.bios);
    await untilMore('pulse', 5);
    expect((await vitrine('run', 'pulse')).code).toBe(1);
    snapshot = await done('save', 'pulse', '--label', 'up');
    loops = (await pulseOf(snapshot)).loops;
    await untilMore('pulse', loops + 20);
    await done('pause', 'pulse');
    await done('restore', 'pulse', snapshot);
    expect(await pulseOf('pulse')).toEqual(await pulseOf(snapshot));
    await done('resume', 'pulse');
    await untilMore('pulse', loops + 5);
    expect(await json('diff', 'pulse', snapshot)).toMatchObject({ regions: [{ name: 'ram' }] });
  });

  it('has told by which way it is saved, and why', async () => {
    const status = async () => (await json('status', 'pulse')).facts;
    expect(await status()).toMatchObject({ savedLiveBy: 'not known yet' });
    const { live } = await json('save', 'pulse', '--live');
    const { savedLiveBy, savedLiveByBecause } = await status();
    if (NO_PAGE_FAULTS === undefined) {
      expect({ savedLiveBy, savedLiveByBecause }).toEqual({
        savedLiveBy: 'background-snapshot',
        savedLiveByBecause: 'each was one instant',
      });
    } else {
      expect(live).toMatchObject({ mode: 'stopped', reason: expect.any(String) });
      expect(['a rest', 'not known yet']).toContain(savedLiveBy);
    }
    // Of what it writes: what tells it, or why nothing does.
    expect(await done('status', 'pulse')).toMatch(/^tracking +\w+, \w+: .{10}/m);
  });

  it('has its memory map and registers told, and bytes written', async () => {
    await done('pause', 'pulse');
    expect(await done('peek', 'pulse', '--map')).toMatch(/^ram +ram +0x0 +0x.*ffff +/m);
    const { processors } = await json('peek', 'pulse', '--registers');
    const registers = new Map<string, string>(
      processors[0].registers.map(({ name, value }: { name: string; value: string }) => [name, value]),
    );
    expect(BigInt(registers.get('rip') ?? 0)).toBeGreaterThan(0n);
    expect(await done('peek', 'pulse', '--registers')).toContain(registers.get('rip')!);
    // Where Pulse does not write.
    const before = await json('peek', 'pulse', '0x3f0000', '6');
    await done('poke', 'pulse', '0x3f0001', '--text', 'poke');
    expect((await json('peek', 'pulse', '0x3f0000', '6')).hex).toBe(
      `${before.hex.slice(0, 2)}${Buffer.from('poke').toString('hex')}${before.hex.slice(10)}`,
    );
    await done('resume', 'pulse');
  });

  it('goes back to a checkpoint', async () => {
    await done('pause', 'pulse');
    const before = await pulseOf('pulse');
    await done('checkpoint', 'pulse');
    await done('resume', 'pulse');
    await untilMore('pulse', before.loops + 5);
    await done('pause', 'pulse');
    await done('reset', 'pulse');
    expect(await pulseOf('pulse')).toEqual(before);
    await done('resume', 'pulse');
  });

  // Where Linux tells what it wrote there is nothing to be gained.
  it.skipIf(marks.works)(
    'moves, to go back to its checkpoint again and again, unless it is to stay',
    async () => {
      const pidOf = async (): Promise<number> => (await json('status', 'pulse')).facts.pid;
      const before = await pidOf();
      expect(await json('reset', 'pulse', '--loop', '2', '--stay')).toMatchObject({
        resets: 2,
        moved: false,
      });
      expect(await pidOf()).toBe(before);
      expect(await json('reset', 'pulse', '--loop', '20')).toMatchObject({ resets: 20, moved: true });
      expect(await pidOf()).not.toBe(before);
      expect(() => process.kill(before, 0)).toThrow('ESRCH');
      expect(await stateOf('pulse')).toBe('running');
      await untilMore('pulse', (await pulseOf('pulse')).loops + 5);
      // Nothing would be gained by another process.
      const there = await vitrine('quicken', 'pulse');
      expect(there).toMatchObject({
        code: 0,
        error: expect.stringMatching(/^pulse: stays where it is; .+ image/),
      });
    },
  );

  it('is forked, and both go on', async () => {
    await done('fork', snapshot, 'pulse-2');
    await untilMore('pulse-2', loops + 5);
    expect((await json('status', 'pulse-2')).facts).toMatchObject({ sharesRam: true });
    expect((await json('status', 'pulse')).facts).toMatchObject({ sharesRam: false });
    // A fork of the same snapshot stands on the same memory, and goes back to it again and again.
    await done('fork', snapshot, 'pulse-3');
    const { resets } = await json('reset', 'pulse-3', snapshot, '--loop', '50');
    expect(resets).toBe(50);
    await untilMore('pulse-3', loops + 5);
    await done('stop', 'pulse-3');
    await untilMore('pulse', (await pulseOf('pulse')).loops + 5);
    await done('stop', 'pulse-2');
    expect(await stateOf('pulse-2')).toBe('stopped');
    expect((await vitrine('save', 'pulse-2')).error).toMatch(/^vitrine: wrong-state: /);
  });

  it('that is killed is lost, and comes back in a new process', async () => {
    const { facts } = await json('status', 'pulse');
    process.kill(facts.pid, 'SIGKILL');
    await expect.poll(() => stateOf('pulse'), { timeout: 30_000 }).toBe('lost');
    expect((await json('status', 'pulse')).facts.ended).toContain('SIGKILL');
    expect((await vitrine('restore', 'pulse', snapshot)).code).toBe(1);
    await done('restore', 'pulse', snapshot, '--fresh');
    await untilMore('pulse', loops + 5);
  });

  // Pages that come as they are touched are userfaultfd's, which not everybody may use.
  it.skipIf(NO_PAGE_FAULTS)('that was forked runs before its memory is there', async () => {
    await done('fork', snapshot, 'pulse-4');
    await done('restore', 'pulse-4', snapshot, '--lazy');
    await untilMore('pulse-4', loops + 5);
    await done('stop', 'pulse-4');
  });

  // Pages that come as they are touched are userfaultfd's, which not everybody may use.
  it.skipIf(NO_PAGE_FAULTS)('runs before its memory is there, and is then like every other one', async () => {
    await done('restore', 'pulse', snapshot, '--lazy');
    expect(await stateOf('pulse')).toBe('running');
    // Until it is whole it cannot be looked into.
    await expect
      .poll(async () => (await vitrine('peek', 'pulse', '0x1000', '4')).code, { timeout: 60_000 })
      .toBe(0);
    await untilMore('pulse', loops + 5);
    // The next one is prepared by then, and both people and Prometheus are told.
    await expect
      .poll(async () => (await json('status', 'pulse')).facts.spareProcesses, { timeout: 60_000 })
      .toBe(1);
    // What it touched is known by then, until its snapshot is gone.
    expect(await readdir(join(folder, 'store.touches'))).toEqual([`${snapshot}.touch`]);
    await done('gc');
    expect(await readdir(join(folder, 'store.touches'))).toEqual([`${snapshot}.touch`]);
    expect(await metrics()).toMatch(/^vitrine_spare_processes 1$/m);
    const again = await done('save', 'pulse');
    expect((await pulseOf(again)).loops).toBeGreaterThan(loops);
  });

  it('ends with its bridge, and the next one brings it back by its name', async () => {
    const { facts } = await json('status', 'pulse');
    await stopBridge();
    expect(() => process.kill(facts.pid, 0)).toThrow('ESRCH');
    // Snapshots need no bridge.
    expect(await done('log')).toContain('up');
    await startBridge();
    expect(await stateOf('pulse')).toBe('stopped');
    await done('restore', 'pulse', snapshot, '--fresh');
    await untilMore('pulse', loops + 5);
    await done('stop', 'pulse');
    await done('run', 'pulse');
    await untilMore('pulse', 2);
  });

  it('that others started is adopted, put back, and runs on when the bridge leaves it', async () => {
    const socket = join(folder, 'theirs.sock');
    const args = ['-nodefaults', '-display', 'none', '-machine', 'pc', '-cpu', 'qemu64,-apic', '-m', '16'];
    const theirs = spawn(
      QEMUS[0]!.program,
      [...args, '-bios', rom.bios, '-qmp', `unix:${socket},server=on,wait=off`],
      { stdio: 'ignore' },
    );
    try {
      await expect.poll(async () => (await vitrine('attach', 'theirs', '--qmp', socket)).code).toBe(0);
      await untilMore('theirs', 5);
      const point = await done('save', 'theirs');
      const before = await pulseOf(point);
      await untilMore('theirs', before.loops + 5);
      await done('pause', 'theirs');
      await done('restore', 'theirs', point);
      expect(await pulseOf('theirs')).toEqual(before);
      await done('resume', 'theirs');
      await done('stop', 'theirs');
      expect(await stateOf('theirs')).toBe('stopped');
      expect(theirs.exitCode).toBeNull();
      await done('attach', 'theirs', '--qmp', socket);
      await untilMore('theirs', before.loops + 5);
      theirs.kill('SIGKILL');
      await expect.poll(() => stateOf('theirs'), { timeout: 30_000 }).toBe('lost');
    } finally {
      theirs.kill('SIGKILL');
    }
  });

  it('that cannot be started says what QEMU said', async () => {
    const { code, error } = await vitrine('run', 'none', '--', '-nonsense');
    expect({ code, error }).toEqual({ code: 1, error: expect.stringContaining('invalid option') });
    expect((await json('ls')).machines.map(({ name }: { name: string }) => name)).not.toContain('none');
  });
});
