// A restore into a new process that cannot come to be leaves the machine that runs as it is: its process goes on, whatever is wrong with the
// snapshot, the files or the place of its memory.

import { copyFile, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningCommand, startCommand } from '../host/cli/shell.ts';
import { pulseRomFile } from './pulse-machine.ts';
import { pulseShell } from './pulse-shell.ts';

let folder = '';
let bios = '';
let environment: NodeJS.ProcessEnv = {};
let bridge: RunningCommand | undefined;

const { vitrine, done, json, pulseOf, untilMore, stateOf } = pulseShell(() => environment);
const pidOf = async (name: string): Promise<number> => (await json('status', name)).facts.pid;
const run = (name: string, memory: string) =>
  done('run', name, '--memory', memory, '--', '-cpu', 'qemu64,-apic', '-bios', bios);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-rehearsal-'));
  // On a disk, not in memory, wherever this host's temporary files are.
  const machines = await mkdtemp('/var/tmp/vitrine-');
  environment = {
    VITRINE_RUN_DIR: join(folder, 'run'),
    VITRINE_STORE: join(folder, 'store'),
    VITRINE_MACHINES_DIR: machines,
  };
  const rom = await pulseRomFile();
  bios = join(folder, 'pulse.bin');
  await copyFile(rom.bios, bios);
  await rom.remove();
  await mkdir(join(folder, 'run'), { mode: 0o700 });
  bridge = startCommand(['serve', '--listen', '127.0.0.1:0', '--json'], environment);
  await bridge.firstLine;
});

afterAll(async () => {
  bridge?.interrupt();
  await bridge?.ended;
  await rm(environment.VITRINE_MACHINES_DIR!, { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
});

describe('a restore that cannot be', () => {
  it('leaves the machine that runs as it is', async () => {
    await run('pulse', '16M');
    await run('other', '8M');
    const [own, others] = [await done('save', 'pulse'), await done('save', 'other')];
    await done('stop', 'other');
    const pid = await pidOf('pulse');
    const goesOn = async () => {
      expect(await stateOf('pulse')).toBe('running');
      expect(await pidOf('pulse')).toBe(pid);
      await untilMore('pulse', (await pulseOf('pulse')).loops + 2);
    };

    for (const how of ['--fresh', '--lazy']) {
      const wrong = await vitrine('restore', 'pulse', others, how);
      expect(wrong).toMatchObject({ code: 7, error: expect.stringContaining('guest-mismatch') });
      await goesOn();
    }
    await rename(bios, `${bios}.away`);
    const gone = await vitrine('restore', 'pulse', own, '--fresh');
    expect(gone).toMatchObject({ code: 1, error: expect.stringContaining('guest-start') });
    await goesOn();
    await rename(`${bios}.away`, bios);
    // Pages cannot be waited for in a file of a disk.
    const onDisk = await vitrine('restore', 'pulse', own, '--lazy');
    expect(onDisk).toMatchObject({ code: 1, error: expect.stringContaining('unsupported') });
    expect(onDisk.error).toContain('/dev/shm');
    await goesOn();

    await done('restore', 'pulse', own, '--fresh');
    expect(await pidOf('pulse')).not.toBe(pid);
    await untilMore('pulse', (await pulseOf('pulse')).loops + 2);
  });

  it('of a machine that does not run is told as what ended it', async () => {
    await done('stop', 'pulse');
    const [first] = (await json('log', 'pulse')).snapshots;
    await rename(bios, `${bios}.away`);
    expect((await vitrine('restore', 'pulse', first.id, '--fresh')).code).toBe(1);
    expect((await json('status', 'pulse')).facts.ended).toMatch(/^a restore failed: guest-start/);
    await rename(`${bios}.away`, bios);
  });
});
