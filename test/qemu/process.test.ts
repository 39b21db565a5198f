// Real QEMU processes: they start, they say why when they do not, they are missed when they are killed, and nothing of them
// stays behind.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import { launchQemu, type QemuProcess } from '../../src/host/qemu/process.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import { collectRunDirectories, isAlive, nameOf, writeNote } from '../../src/host/qemu/run-directory.ts';
import { QEMUS } from './pulse-machine.ts';

let root: string;
const started: QemuProcess[] = [];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'vitrine-machines-'));
});
afterEach(async () => {
  for (const one of started.splice(0)) await one.close();
  await rm(root, { recursive: true, force: true });
});

async function launch(profile: QemuProfile): Promise<QemuProcess> {
  const machine = await launchQemu('m', profile, { root });
  started.push(machine);
  return machine;
}

async function errorOf(profile: QemuProfile): Promise<VitrineError> {
  const error = await launch(profile).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(VitrineError);
  return error as VitrineError;
}

for (const { version, program } of QEMUS) {
  describe(`QEMU ${version}`, () => {
    it('starts, rests, and leaves nothing when it is closed', async () => {
      const machine = await launch({ program });
      const { major, minor, micro } = machine.qmp.version;
      expect(`${major}.${minor}.${micro}`).toBe(version);
      expect(await machine.qmp.execute('query-status')).toMatchObject({
        status: 'prelaunch',
        running: false,
      });
      const name = await nameOf(machine.pid);
      await machine.close();
      await machine.close();
      expect(await isAlive(name)).toBe(false);
      expect(await readdir(root)).toEqual([]);
      expect(machine.stderr).toBe('');
    });

    const impossible: [string, QemuProfile, RegExp][] = [
      [
        'a machine type that it does not know',
        { machine: 'pc-q35-99.9' },
        /pc-q35-99\.9|unsupported machine type/,
      ],
      ['a kernel that is not there', { kernel: 'no-such-kernel' }, /no-such-kernel/],
      ['arguments that it does not know', { args: ['-no-such-option'] }, /no-such-option/],
    ];
    for (const [what, profile, said] of impossible) {
      it(`tells what it said about ${what}`, async () => {
        const error = await errorOf({ program, ...profile });
        expect(error.code).toBe('guest-start');
        expect(error.data.exitCode).toBe(1);
        expect(error.data.said).toMatch(said);
        expect(await readdir(root)).toEqual([]);
      });
    }

    it('is missed when it is killed: every pending call fails, with the signal', async () => {
      const machine = await launch({ program });
      const waiting = machine.qmp.waitFor(() => false).event.catch((reason: unknown) => reason);
      process.kill(machine.pid, 'SIGKILL');
      expect(await waiting).toMatchObject({ code: 'guest-lost', data: { signal: 'SIGKILL' } });
      const later = await machine.qmp.execute('stop').catch((reason: unknown) => reason);
      expect(later).toMatchObject({ code: 'guest-lost', data: { signal: 'SIGKILL' } });
      await machine.close();
      expect(await readdir(root)).toEqual([]);
    });

    it('is found and ended by the next one when its owner was killed', async () => {
      const machine = await launch({ program });
      const qemu = await nameOf(machine.pid);
      const owner = spawn('sleep', ['1000'], { stdio: 'ignore' });
      await once(owner, 'spawn');
      const ownerName = await nameOf(owner.pid!);
      await writeNote(machine.files, { name: 'm', owner: ownerName, qemu, kept: null });
      expect(await collectRunDirectories(root)).toEqual([]);
      owner.kill('SIGKILL');
      await once(owner, 'exit');
      const next = await launch({ program });
      await machine.exited;
      expect(await isAlive(qemu)).toBe(false);
      expect(await readdir(root)).toHaveLength(1);
      expect((await next.qmp.execute('query-status')).status).toBe('prelaunch');
    });
  });
}

it('says what to do when there is no QEMU', async () => {
  const error = await errorOf({ program: 'qemu-system-nowhere' });
  expect(error.code).toBe('guest-start');
  expect(error.data.said).toContain('install QEMU');
  expect(await readdir(root)).toEqual([]);
});
