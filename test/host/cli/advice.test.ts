// What a person reads where a command failed: the code first, then what to do; a wrong name is a wrong command line.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ERRORS, type ErrorCode, VitrineError } from '../../../src/base/error.ts';
import { adviceOf } from '../../../src/host/cli/advice.ts';
import { COMMANDS } from '../../../src/host/cli/commands.ts';
import { openFsStore } from '../../../src/store/fs-store.ts';
import { runCommand } from './shell.ts';

let folder = '';
const vitrine = (...args: string[]) =>
  runCommand(args, { VITRINE_RUN_DIR: join(folder, 'run'), VITRINE_STORE: join(folder, 'store') });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-advice-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('what failed', () => {
  it('says what to do where no bridge runs', async () => {
    const { code, error } = await vitrine('ls');
    expect(code).toBe(9);
    expect(error).toMatch(/^vitrine: connection-lost: .*\n.*"vitrine serve" starts one\.\n$/);
  });

  it('says for every code what to do, but for work that was given up', () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      const advice = adviceOf(new VitrineError(code));
      if (code === 'aborted') expect(advice).toBeUndefined();
      else expect(advice, code).toMatch(/\.$/);
    }
  });

  it('names commands with the machine', () => {
    const stopped = { machine: 'web', actual: 'stopped', required: 'running' };
    expect(adviceOf(new VitrineError('wrong-state', stopped))).toContain('"vitrine run web"');
    const runs = { machine: 'web', actual: 'running', required: 'stopped' };
    expect(adviceOf(new VitrineError('wrong-state', runs))).toContain('"vitrine stop web"');
    expect(adviceOf(new VitrineError('not-found', { snapshot: 'ffff' }))).toContain('"vitrine log"');
    const bridges = { name: '--bridge', bridges: ['http://127.0.0.1:1', 'http://127.0.0.1:2'] };
    expect(adviceOf(new VitrineError('name-ambiguous', bridges))).toContain('--bridge PORT');
    const there = { file: 'a.vitrine', reason: 'it is there', allowedBy: '--force' };
    expect(adviceOf(new VitrineError('argument-invalid', there))).toContain('--force');
    expect(adviceOf(new VitrineError('argument-invalid', { wants: 'HOST:PORT' }))).toContain('HOST:PORT');
    expect(adviceOf(new VitrineError('busy', { wants: 'another --listen' }))).toContain('another --listen');
  });
});

describe('a command line', () => {
  it('tells the version', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    expect(await vitrine('--version')).toMatchObject({ code: 0, out: `${version}\n` });
  });

  it('with a name of a wrong form is not understood', async () => {
    await (await openFsStore(join(folder, 'store'))).close();
    const { code, error } = await vitrine('log', 'z/z', '--store', join(folder, 'store'));
    expect({ code, error }).toEqual({ code: 2, error: expect.stringContaining('"z/z"') });
    expect(error).toContain('vitrine log --help tells more.');
  });

  it('with a snapshot that there is not says where they are listed', async () => {
    await (await openFsStore(join(folder, 'store'))).close();
    const { code, error } = await vitrine('show', 'before it', '--store', join(folder, 'store'));
    expect({ code, error }).toEqual({ code: 3, error: expect.stringContaining('snapshot "before it"') });
    expect(error).toContain('"vitrine log" lists snapshots.');
    const peeked = await vitrine('peek', 'nobody', '0', '1', '--store', join(folder, 'store'));
    expect(peeked).toMatchObject({ code: 3, error: expect.stringContaining('name "nobody"') });
    expect(peeked.error).toContain('"vitrine ls" lists machines, "vitrine log" snapshots.');
  });

  it('has options apart from words in each help', () => {
    for (const { name, help } of COMMANDS) {
      const lines = help.split('\n');
      const first = lines.findIndex((line) => /^ {2}--/.test(line));
      const before = lines[first - 1] ?? '';
      if (first > 0) expect(before === '' || before.startsWith(' '), `${name}: ${before}`).toBe(true);
    }
  });
});
