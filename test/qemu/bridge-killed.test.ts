// A bridge as an operator has it, in a process of its own, that is killed and started again: its machines go on, and the next one
// has them under their names, with their past, their consoles, and what was being done to them ended.

import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findKeptMachines } from '../../src/host/qemu/kept-machine.ts';
import { filesIn } from '../../src/host/qemu/profile.ts';
import { nameOf, readNote } from '../../src/host/qemu/run-directory.ts';
import { BareQemu } from './bare-qemu.ts';
import { OwnBridge } from './own-bridge.ts';
import { NO_PAGE_FAULTS, pulseRomFile, QEMUS } from './pulse-machine.ts';
import { pulseShell } from './pulse-shell.ts';

let folder = '';
let machines = '';
let environment: NodeJS.ProcessEnv = {};
let rom: Awaited<ReturnType<typeof pulseRomFile>>;
let bridge: OwnBridge;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-killed-'));
  // RAM comes as it is touched in memory files alone.
  machines = await mkdtemp('/dev/shm/vitrine-killed-');
  environment = {
    VITRINE_RUN_DIR: join(folder, 'run'),
    VITRINE_STORE: join(folder, 'store'),
    VITRINE_MACHINES_DIR: machines,
  };
  rom = await pulseRomFile();
  bridge = await OwnBridge.build(folder, { environment });
});

afterAll(async () => {
  await bridge?.end('SIGTERM');
  await rom?.remove();
  await rm(folder, { recursive: true, force: true });
  await rm(machines, { recursive: true, force: true });
});

const startBridge = (...more: string[]) => bridge.start(...more);
const endBridge = (signal: NodeJS.Signals) => bridge.end(signal);

const { vitrine, done, json, pulseOf, untilMore, stateOf } = pulseShell(() => environment);

const pidOf = async (name: string): Promise<number> => (await json('status', name)).facts.pid;

/** Which of them run. */
const running = (...pids: number[]): Promise<boolean[]> =>
  Promise.all(
    pids.map((pid) =>
      nameOf(pid).then(
        () => true,
        () => false,
      ),
    ),
  );

/** Process ids of those that wait for a machine. */
async function waiting(): Promise<number[]> {
  const notes = await Promise.all(
    (await readdir(machines)).map((name) => readNote(filesIn(join(machines, name)))),
  );
  return notes.flatMap((note) => (note?.name === '_spare' && note.qemu ? [note.qemu.pid] : []));
}

it('goes on without its bridge, and the next one has it', async () => {
  await startBridge();
  await done('run', 'pulse', '--memory', '16M', '--', '-cpu', 'qemu64,-apic', '-bios', rom.bios);
  await untilMore('pulse', 10);
  const snapshot = await done('save', 'pulse', '--label', 'before');
  await done('fork', snapshot, 'fork');
  const { loops } = await pulseOf('fork');
  await untilMore('fork', loops + 5);
  await done('pause', 'fork');
  const forkAt = await pulseOf('fork');
  const [pid, forkPid] = [await pidOf('pulse'), await pidOf('fork')];
  const at = await pulseOf('pulse');
  await endBridge('SIGKILL');
  expect(await running(pid, forkPid)).toEqual([true, true]);
  await startBridge();
  const { state, facts } = await json('status', 'pulse');
  expect({ state, pid: facts.pid, found: facts.found }).toMatchObject({
    state: 'running',
    pid,
    found: expect.stringContaining('took it over'),
  });
  await untilMore('pulse', at.loops + 5);
  expect(await stateOf('fork')).toBe('paused');
  expect(await pulseOf('fork')).toEqual(forkAt);
  await done('resume', 'fork');
  await untilMore('fork', forkAt.loops + 5);
  const next = await done('save', 'pulse', '--label', 'after');
  const log: { id: string; label: string; parent: string | null }[] = (await json('log', 'pulse')).snapshots;
  expect(log.map(({ label }) => label)).toEqual(['before', 'after']);
  expect(log[1]).toMatchObject({ id: next, parent: snapshot });
  // Both ways: what it printed while nobody was there, and what it prints now.
  await done('pause', 'pulse');
  await done('restore', 'pulse', snapshot);
  await done('resume', 'pulse');
  await untilMore('pulse', loops + 5);
  const forked = await done('save', 'fork');
  expect((await json('verify', forked)).damaged ?? []).toEqual([]);
});

it('is kept when its bridge is told so, and ends with it otherwise', async () => {
  const pids = [await pidOf('pulse'), await pidOf('fork')];
  await endBridge('SIGKILL');
  await startBridge('--keep-machines');
  await done('pause', 'pulse');
  const at = await pulseOf('pulse');
  await endBridge('SIGTERM');
  expect(bridge.exitCode).toBe(0);
  expect(await running(...pids)).toEqual([true, true]);
  await startBridge();
  expect(await stateOf('pulse')).toBe('paused');
  expect(await pulseOf('pulse')).toEqual(at);
  expect(await stateOf('fork')).toBe('running');
  await endBridge('SIGTERM');
  expect(await running(...pids)).toEqual([false, false]);
  await startBridge();
  expect([await stateOf('pulse'), await stateOf('fork')]).toEqual(['stopped', 'stopped']);
});

it('that cannot be taken over runs on, says why, and is not started twice', async () => {
  await done('run', 'pulse');
  await untilMore('pulse', 5);
  const pid = await pidOf('pulse');
  const [found] = await findKeptMachines(join(folder, 'store'), machines);
  const { files } = found!;
  await endBridge('SIGKILL');
  // Its monitor serves one client at a time, and this is another one.
  const other = connect(files.qmp);
  await once(other, 'data');
  await startBridge();
  const { state, facts } = await json('status', 'pulse');
  expect(state).toBe('lost');
  expect(facts).toMatchObject({ pid, ended: expect.stringContaining('could not be taken over') });
  expect(await vitrine('run', 'pulse')).toMatchObject({
    code: 5,
    error: expect.stringContaining('vitrine stop'),
  });
  expect(await stateOf('pulse')).toBe('lost');
  expect(await running(pid)).toEqual([true]);
  other.destroy();
  await endBridge('SIGTERM');
  expect(await running(pid)).toEqual([true]);
  await startBridge();
  expect(await stateOf('pulse')).toBe('running');
  await endBridge('SIGKILL');
  const again = connect(files.qmp);
  await once(again, 'data');
  await startBridge();
  await done('stop', 'pulse');
  await expect.poll(() => running(pid)).toEqual([false]);
  again.destroy();
  await done('run', 'pulse');
  await untilMore('pulse', 5);
  await done('stop', 'pulse');
});

it('that stands on a disk and is without a bridge keeps its store from being collected', async () => {
  const disk = join(folder, 'disk.raw');
  await writeFile(disk, Buffer.alloc(1 << 20));
  const drive = `file=${disk},format=raw,if=virtio`;
  await done('run', 'writer', '--memory', '16M', '--', '-bios', rom.bios, '-drive', drive);
  const pid = await pidOf('writer');
  const collect = () => vitrine('gc', '--store', join(folder, 'store'));
  expect(await collect()).toMatchObject({ code: 0 });
  const layers = async () => (await readdir(join(folder, 'store.disks'))).filter((one) => /qcow2$/.test(one));
  expect(await layers()).toHaveLength(1);
  await endBridge('SIGKILL');
  const refused = await collect();
  expect(refused).toMatchObject({ code: 5, error: expect.stringMatching(/busy: .*machine "writer"/) });
  expect(refused.error).toContain(String(pid));
  process.kill(pid, 'SIGKILL');
  await expect.poll(() => running(pid)).toEqual([false]);
  expect(await collect()).toMatchObject({ code: 0, error: expect.stringContaining('1 layer of') });
  expect(await layers()).toEqual([]);
});

// Pages that come as they are touched are userfaultfd's, which not everybody may use.
it.skipIf(NO_PAGE_FAULTS)('leaves no process that waits, told to end or killed', async () => {
  await endBridge('SIGTERM');
  await startBridge();
  await done('run', 'pulse');
  await untilMore('pulse', 5);
  const snapshot = await done('save', 'pulse');
  const restore = async (): Promise<number> => {
    await done('restore', 'pulse', snapshot, '--lazy');
    await expect
      .poll(async () => (await json('status', 'pulse')).facts.spareProcesses, { timeout: 60_000 })
      .toBe(1);
    // It may be starting: it is there once its note says that it runs.
    await expect.poll(waiting, { timeout: 60_000 }).toHaveLength(1);
    return (await waiting())[0]!;
  };
  const first = await restore();
  // The machine is that process by now, and another one waits.
  const second = await restore();
  expect(await pidOf('pulse')).toBe(first);
  await endBridge('SIGTERM');
  expect(await running(first, second)).toEqual([false, false]);
  expect(await readdir(machines)).toEqual([]);
  await startBridge();
  const third = await restore();
  await endBridge('SIGKILL');
  expect(await running(third)).toEqual([true]);
  await startBridge();
  expect(await running(third)).toEqual([false]);
  expect(await stateOf('pulse')).toBe('running');
  await endBridge('SIGTERM');
  await startBridge('--spare', '0');
  await done('restore', 'pulse', snapshot, '--lazy');
  await expect.poll(async () => (await vitrine('save', 'pulse')).code, { timeout: 60_000 }).toBe(0);
  expect((await json('status', 'pulse')).facts.spareProcesses).toBeUndefined();
  await done('stop', 'pulse');
});

it('of others, held for a save at that moment, is let go on by the next bridge', async () => {
  await endBridge('SIGTERM');
  const qemu = await BareQemu.startPulse(QEMUS[0]!.program, (place) => [
    ...['-machine', 'pc-q35-7.2', '-m', '16'],
    ...['-chardev', `socket,id=second,path=${join(place, 'second')},server=on,wait=off`],
    ...['-mon', 'chardev=second,mode=control'],
  ]);
  const status = async () => ((await qemu.call('query-status')) as { status: string }).status;
  try {
    await startBridge();
    await done('attach', 'theirs', '--qmp', join(qemu.folder, 'second'));
    const heard = qemu.events.length;
    const saving = vitrine('save', 'theirs');
    // Held this very moment; a save that was quicker than the signal is made again.
    await expect.poll(() => qemu.events.length, { interval: 1, timeout: 60_000 }).toBeGreaterThan(heard);
    await endBridge('SIGKILL');
    await saving;
    const said = await startBridge();
    expect(said()).toContain('"attached-machine-left"');
    expect(await status()).toBe('running');
    await done('attach', 'theirs', '--qmp', join(qemu.folder, 'second'));
    await done('save', 'theirs');
  } finally {
    await endBridge('SIGTERM');
    await qemu.close();
  }
});
