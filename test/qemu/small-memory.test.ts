// A host with little room where files are memory, as containers have 64 MiB in `/dev/shm`: machines lie on a disk there, whole or in
// part, and every verb serves them or says why not, before anything ends.

import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OwnBridge } from './own-bridge.ts';
import { pulseRomFile } from './pulse-machine.ts';
import { pulseShell } from './pulse-shell.ts';

/** Room for a small machine and not for the one of the tests. */
const ROOM = '12m';
const WITHIN = [
  'unshare',
  '--mount',
  'sh',
  '-c',
  `mount -t tmpfs -o size=${ROOM} room /dev/shm && exec "$@"`,
  'sh',
];

const canMount = spawnSync(WITHIN[0]!, [...WITHIN.slice(1), 'true']).status === 0;
if (!canMount) console.error('NO MOUNTS FOR THIS USER, TESTS OF A SMALL /dev/shm ARE SKIPPED');

// Skipped because a file system of its own is root's to make; the lane says so where it begins.
describe.skipIf(!canMount)('a host with little memory for files', () => {
  let folder = '';
  let environment: NodeJS.ProcessEnv = {};
  let rom: Awaited<ReturnType<typeof pulseRomFile>>;
  let bridge: OwnBridge;
  let saved = '';

  const { vitrine, done, json, pulseOf, untilMore, stateOf } = pulseShell(() => environment);
  const pidOf = async (name: string): Promise<number> => (await json('status', name)).facts.pid;
  const goesOn = async (name: string): Promise<void> => {
    expect(await stateOf(name)).toBe('running');
    await untilMore(name, (await pulseOf(name)).loops + 2);
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-small-'));
    await mkdir(join(folder, 'tmp'), { mode: 0o700 });
    environment = { VITRINE_RUN_DIR: join(folder, 'run'), VITRINE_STORE: join(folder, 'store') };
    rom = await pulseRomFile();
    // Elsewhere is where temporary files are.
    const own = { ...environment, TMPDIR: join(folder, 'tmp') };
    bridge = await OwnBridge.build(folder, { environment: own, within: WITHIN });
    await bridge.start();
  });
  afterAll(async () => {
    await bridge?.end('SIGTERM');
    await rom?.remove();
    await rm(folder, { recursive: true, force: true });
  });

  it('starts and saves a machine, while it runs or with the reason why it rested', async () => {
    await done('run', 'pulse', '--memory', '32M', '--', '-cpu', 'qemu64,-apic', '-bios', rom.bios);
    await untilMore('pulse', 10);
    saved = await done('save', 'pulse');
    const { live } = await json('save', 'pulse', '--live');
    expect(live.mode === 'stream' || typeof live.reason === 'string', JSON.stringify(live)).toBe(true);
    await goesOn('pulse');
  });

  it('tells that one cannot run before its memory is there, and it runs on', async () => {
    const pid = await pidOf('pulse');
    const { code, error } = await vitrine('restore', 'pulse', saved, '--lazy');
    expect({ code, error }).toMatchObject({ code: 1, error: expect.stringContaining('unsupported') });
    expect(error).toContain('/dev/shm');
    expect(await pidOf('pulse')).toBe(pid);
    await goesOn('pulse');
  });

  it('takes one back in place and into a new process', async () => {
    await done('restore', 'pulse', saved);
    await goesOn('pulse');
    const pid = await pidOf('pulse');
    await done('restore', 'pulse', saved, '--fresh');
    expect(await pidOf('pulse')).not.toBe(pid);
    await goesOn('pulse');
  });

  it('forks one, and both go on', async () => {
    await done('fork', saved, 'copy');
    await goesOn('copy');
    await done('stop', 'copy');
    await goesOn('pulse');
  });

  it('moves one to go back again and again', async () => {
    const pid = await pidOf('pulse');
    await done('quicken', 'pulse');
    expect(await pidOf('pulse')).not.toBe(pid);
    await goesOn('pulse');
    await done('checkpoint', 'pulse');
    const { loops } = await pulseOf('pulse');
    await untilMore('pulse', loops + 2);
    await done('reset', 'pulse');
    await goesOn('pulse');
    await done('save', 'pulse');
    await goesOn('pulse');
  });
});
