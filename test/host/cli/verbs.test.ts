// The commands of verbs against a real bridge over a real socket, with machines of flat guests, and against a store alone:
// what they print, what they do, and their exit codes.

import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { grantOf } from '../../../src/bridge/grant.ts';
import { serveSession } from '../../../src/bridge/session.ts';
import { type TokenFile, writeTokenFile } from '../../../src/host/bridge/token-file.ts';
import type { FlatHost } from '../../bridge/bridge-host.ts';
import { connectOwner, openTestServer } from '../bridge/test-server.ts';
import { openServedFlat, type ServedFlat } from './served-flat.ts';
import { type Ran, runCommand } from './shell.ts';

let served: ServedFlat;
let folder = '';
let host: FlatHost;
let token: TokenFile;

beforeAll(async () => {
  served = await openServedFlat({ alpha: 16, beta: 16 });
  ({ folder, host, token } = served);
});

afterAll(() => served.close());

beforeEach(() => {
  served.grant = undefined;
});

const vitrine = (...args: string[]): Promise<Ran> => served.vitrine(...args);
// biome-ignore lint/suspicious/noExplicitAny: what a test reads of it.
const json = (...args: string[]): Promise<any> => served.json(...args);

async function save(machine: string, ...args: string[]): Promise<string> {
  const { code, out, error } = await vitrine('save', machine, ...args);
  expect(code, error).toBe(0);
  return out.trim();
}

const write = (machine: string, at: number, ...bytes: number[]): void =>
  host.flat.get(machine)!.memory.set(bytes, at);
const bytesAt = (machine: string, at: number, length: number): number[] => [
  ...host.flat.get(machine)!.memory.subarray(at, at + length),
];

describe('machines', () => {
  it('are listed, and told in full', async () => {
    const listed = await vitrine('ls');
    expect(listed.out.split('\n')[0]).toMatch(/^NAME +STATE +SNAPSHOT +MAY$/);
    expect(listed.out).toMatch(/^alpha +running +- +observe,peek,save,restore,delete,export,admin$/m);
    const { machines } = await json('ls');
    expect(machines.map((one: { name: string }) => one.name)).toEqual(['alpha', 'beta']);
    expect((await vitrine('status', 'alpha')).out).toMatch(/^memory +ram 64 KiB at 0x0$/m);
    expect(await json('status', 'beta')).toMatchObject({ name: 'beta', state: 'running', base: null });
  });

  it('are saved and restored: the id on standard output, words beside it', async () => {
    write('alpha', 0x1000, 1, 2, 3);
    const saved = await vitrine('save', 'alpha', '--label', 'one two three');
    expect(saved.out).toMatch(/^[0-9a-f]{64}\n$/);
    expect(saved.error).toMatch(/^alpha: 1 page changed, .+ written in .+; it rested .+ ms$/m);
    write('alpha', 0x1000, 9, 9, 9);
    const restored = await vitrine('restore', 'alpha', saved.out.slice(0, 12));
    expect(restored).toMatchObject({ code: 0, out: '', error: expect.stringContaining('1 page written') });
    expect(bytesAt('alpha', 0x1000, 3)).toEqual([1, 2, 3]);
    expect(await json('status', 'alpha')).toMatchObject({ base: saved.out.trim() });
  });

  it('are saved while they run on, with a buffer of a size', async () => {
    const report = await json('save', 'alpha', '--live', '--buffer', '1M', '--effort', 'fast', '--full');
    // A machine without a write barrier: it rests, and people are told why.
    expect(report.live).toMatchObject({ mode: 'stopped', reason: expect.any(String) });
    const { error } = await vitrine('save', 'alpha', '--live');
    expect(error).toContain(`it did not run meanwhile: ${report.live.reason}\n`);
  });

  it('go back to a checkpoint, and to a snapshot made one', async () => {
    write('beta', 0x2000, 5);
    expect((await vitrine('reset', 'beta')).error).toMatch(
      /^vitrine: wrong-state: [^\n]*a checkpoint"\)\nvitrine checkpoint beta, or vitrine reset beta SNAPSHOT\n$/,
    );
    expect((await vitrine('checkpoint', 'beta')).code).toBe(0);
    write('beta', 0x2000, 6);
    expect((await vitrine('reset', 'beta')).code).toBe(0);
    expect((await vitrine('reset', 'beta', '--loop', '3')).error).toMatch(/^beta: 3 resets, /);
    expect((await vitrine('reset', 'beta', '--loop', 'often')).code).toBe(2);
    expect(bytesAt('beta', 0x2000, 1)).toEqual([5]);
    await save('beta', '--label', 'the point');
    write('beta', 0x2000, 7);
    expect((await vitrine('reset', 'beta', 'the point')).code).toBe(0);
    write('beta', 0x2000, 8);
    expect((await vitrine('reset', 'beta')).code).toBe(0);
    expect(bytesAt('beta', 0x2000, 1)).toEqual([5]);
  });

  it('say so where they cannot move', async () => {
    expect((await vitrine('quicken', 'beta')).error).toMatch(/^vitrine: unsupported: .*quicken/);
    expect((await vitrine('quicken', 'nobody')).code).toBe(3);
  });

  it('are forked', async () => {
    write('alpha', 0x3000, 42);
    const id = await save('alpha');
    const error = expect.stringContaining('let only one face a network');
    expect(await vitrine('fork', id, 'gamma')).toMatchObject({ code: 0, out: 'gamma\n', error });
    expect(bytesAt('gamma', 0x3000, 1)).toEqual([42]);
    expect((await vitrine('fork', id, 'gamma')).code).toBe(1);
  });

  it('rest and go on', async () => {
    expect((await vitrine('pause', 'beta')).code).toBe(0);
    expect(await json('status', 'beta')).toMatchObject({ state: 'paused' });
    expect((await vitrine('resume', 'beta')).code).toBe(0);
    expect(await json('status', 'beta')).toMatchObject({ state: 'running' });
  });
});

describe('peek', () => {
  it('prints lines of sixteen bytes, with address and letters', async () => {
    write('alpha', 0x1010, ...Buffer.from('Vitrine!'), 0x1b, 0xff);
    const { out, error } = await vitrine('peek', 'alpha', '0x1010', '20');
    expect(out).toBe(
      '00001010  56 69 74 72 69 6e 65 21  1b ff 00 00 00 00 00 00  |Vitrine!........|\n' +
        '00001020  00 00 00 00                                       |....|\n',
    );
    expect(error).toMatch(/^20 B of one instant; it rested .+ ms\n$/);
    expect((await json('peek', 'alpha', 'ram+0x1010', '2')).hex).toBe('5669');
    // A guest of this thread cannot be read while it runs.
    const torn = await json('peek', 'alpha', '0x1010', '2', '--torn');
    expect([torn.hex, torn.consistency]).toEqual(['5669', 'instant']);
  });

  it('reads snapshots as they were, and writes files whole', async () => {
    write('alpha', 0x4000, 1, 1);
    const id = await save('alpha');
    write('alpha', 0x4000, 2, 2);
    expect((await json('peek', id.slice(0, 16), '0x4000', '2')).hex).toBe('0101');
    expect((await json('peek', 'alpha', '0x4000', '2')).hex).toBe('0202');
    const file = join(folder, 'ram.bin');
    expect(await vitrine('peek', id, '0', '64K', '-o', file)).toMatchObject({ code: 0, out: '' });
    const bytes = await readFile(file);
    expect([bytes.length, bytes[0x4000]]).toEqual([65_536, 1]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const failed = await vitrine('peek', id, '0', '128K', '-o', join(folder, 'other.bin'));
    expect(failed.error).toMatch(/^vitrine: span-out-of-range: /);
    await expect(stat(join(folder, 'other.bin'))).rejects.toThrow('ENOENT');
  });

  it.each([
    [['alpha', '0x0'], 2],
    [['alpha', 'here', '4'], 2],
    [['alpha', '0', '0'], 2],
    [['alpha', '0', '4', '--format', 'octal'], 2],
    [['alpha', '0', '1G'], 2],
    [['nobody', '0', '4'], 3],
    [['ffff', '0', '4'], 3],
    [['alpha', '0', '4', '--virtual'], 1],
    [['alpha', '0xffffffff81000123', '4', '--virtual'], 1],
    [['alpha', '0x10000000000000000', '4', '--virtual'], 2],
    [['alpha'], 2],
    [['alpha', '--dmesg', '--ps'], 2],
    [['alpha', '--map', '--torn'], 2],
    [['alpha', '0', '--ps'], 2],
    [['alpha', '--uname'], 3],
    [['nobody', '--ps'], 3],
  ])('answers %j with %i', async (args, code) => {
    const ran = await vitrine('peek', ...args);
    expect({ code: ran.code, out: ran.out }).toEqual({ code, out: '' });
  });
});

describe('snapshots', () => {
  it('are listed, shown, compared and proven', async () => {
    write('beta', 0x5000, 1);
    const a = await save('beta', '--label', 'first \x1b[31m one');
    write('beta', 0x5000, 2);
    write('beta', 0x6000, 2);
    write('beta', 0x7000, 2);
    const b = await save('beta');
    const { out } = await vitrine('log', 'beta');
    expect(out).toContain('first ?[31m one');
    expect(out).toMatch(new RegExp(`^${b.slice(0, 12)} .+ ${a.slice(0, 12)}`, 'm'));
    const { snapshots } = await json('log', 'beta');
    expect(snapshots.slice(-2).map((one: { id: string }) => one.id)).toEqual([a, b]);
    expect((await vitrine('show', b.slice(0, 10))).out).toMatch(/^parent +[0-9a-f]{64}$/m);
    expect(await json('show', a)).toMatchObject({ id: a, label: 'first \x1b[31m one', machine: 'beta' });
    expect((await vitrine('diff', a, b)).out).toMatch(/^ram +3 +16$/m);
    expect((await vitrine('diff', a, b, '--pages')).out).toMatch(/^ram +0x5000 +3$/m);
    write('beta', 0x8000, 3);
    expect((await json('diff', 'beta')).regions[0].pagesChanged).toBe(1);
    expect((await json('diff', 'beta', a)).regions[0].pagesChanged).toBe(4);
    expect((await vitrine('verify', a, b)).out.match(/whole/g)).toHaveLength(2);
    expect((await json('verify', '--all')).snapshots.length).toBeGreaterThan(1);
  });

  it('are named by their labels, too', async () => {
    write('alpha', 64, 7);
    const first = await save('alpha', '--label', 'the first');
    write('alpha', 64, 8);
    // Digits of an id, as far as anybody can see.
    const second = await save('alpha', '--label', 'facade');
    const ofBeta = await save('beta', '--label', 'the first');
    expect((await json('show', 'facade')).id).toBe(second);
    expect((await vitrine('restore', 'alpha', 'the first')).code).toBe(0);
    // Of two that are called so it is the machine's own.
    expect(bytesAt('alpha', 64, 1)).toEqual([7]);
    expect((await json('diff', 'alpha', 'the first')).regions).toMatchObject([{ pagesChanged: 0 }]);
    expect((await json('diff', first, 'facade')).regions).toMatchObject([{ pagesChanged: 1 }]);
    expect((await json('peek', 'facade', '64', '1')).hex).toBe('08');
    expect((await json('verify', 'facade')).snapshots).toMatchObject([{ snapshot: second, damaged: [] }]);
    expect(await vitrine('show', 'the first')).toMatchObject({
      code: 1,
      error: expect.stringContaining('Give an id: "vitrine log" tells which is which.'),
    });
    expect((await json('rm', 'facade')).removed).toEqual([second]);
    expect((await vitrine('rm', first, ofBeta)).code).toBe(0);
  });

  it('go, all that were named or none, and their space comes back', async () => {
    const id = await save('alpha', '--label', 'to go');
    expect((await vitrine('rm', id, 'ffff')).code).toBe(3);
    expect((await vitrine('show', id)).code).toBe(0);
    expect(await vitrine('rm', id.slice(0, 20))).toMatchObject({ code: 0, out: `${id}\n` });
    expect((await vitrine('show', id)).code).toBe(3);
    expect(await json('gc')).toMatchObject({ manifestsRemoved: expect.any(Number) });
  });
});

describe('a store', () => {
  it('is its bridge’s while one runs, and is worked on without one', async () => {
    const store = join(folder, 'store');
    const throughBridge = await json('log', '--store', store);
    expect(served.server.server.connectionCount).toBeLessThanOrEqual(1);
    const alone = { VITRINE_RUN_DIR: join(folder, 'run-of-nobody'), VITRINE_STORE: store };
    const { out, code } = await runCommand(['log', '--json'], alone);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual(throughBridge);
    const id = throughBridge.snapshots[0].id as string;
    for (const args of [
      ['show', id],
      ['peek', id, '0', '16'],
      ['diff', id, id],
      ['verify', id],
    ]) {
      expect(await runCommand(args, alone)).toMatchObject({ code: 0 });
    }
    // Machines need a bridge.
    for (const args of [['ls'], ['save', 'alpha'], ['ls', '--store', store]]) {
      expect((await runCommand(args, alone)).code).toBe(9);
    }
    expect((await runCommand(['log', '--store', join(folder, 'none')], alone)).code).toBe(3);
  });
});

describe('a bridge', () => {
  it('is named where several run, and missed where none does', async () => {
    const two = { VITRINE_RUN_DIR: join(folder, 'two') };
    await writeTokenFile(two.VITRINE_RUN_DIR, token);
    await writeTokenFile(two.VITRINE_RUN_DIR, {
      ...token,
      port: 1,
      origin: 'http://127.0.0.1:1',
      store: null,
    });
    expect(await runCommand(['ls'], two)).toMatchObject({
      code: 1,
      error: expect.stringContaining('--bridge'),
    });
    expect((await runCommand(['ls', '--bridge', String(served.server.port)], two)).code).toBe(0);
    // A file of a bridge that does not answer, and one whose token is another's.
    expect((await runCommand(['ls', '--bridge', '1'], two)).code).toBe(9);
    await writeTokenFile(two.VITRINE_RUN_DIR, { ...token, token: 'wrong-token-of-some-length' });
    expect(await runCommand(['ls', '--bridge', String(served.server.port)], two)).toMatchObject({
      code: 6,
      error: expect.stringContaining('token-invalid'),
    });
  });

  it('that is full says so: exit code 5', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => connectOwner(served.server)));
    const { code, error } = await vitrine('ls');
    for (const client of clients) client.terminate();
    expect({ code, error }).toEqual({ code: 5, error: expect.stringContaining('session-connections-full') });
    await expect.poll(() => served.server.server.connectionCount).toBe(0);
  });

  it('that ends while it works is missed after some seconds: exit code 9', async () => {
    const started: string[] = [];
    const endless = { ...host, run: (request: { name: string }) => neverOf(started, request.name) };
    const other = await openTestServer({
      serve: (channel, visitor) => void serveSession(channel, endless, visitor.grant),
    });
    const own = { VITRINE_RUN_DIR: join(folder, 'ending') };
    const { port, origin, token: secret } = other;
    await writeTokenFile(own.VITRINE_RUN_DIR, { ...token, port, origin, token: secret, store: null });
    const running = runCommand(['run', 'delta'], own);
    await expect.poll(() => started).toEqual(['delta']);
    await other.close();
    const { code, error } = await running;
    expect({ code, error }).toEqual({ code: 9, error: expect.stringContaining('trying again') });
  });

  it('gives what a visitor may, and nothing more: exit code 6', async () => {
    const id = await save('alpha');
    served.grant = grantOf('student', { alpha: ['observe', 'peek'] });
    expect((await json('ls')).machines).toMatchObject([{ name: 'alpha', permissions: ['observe', 'peek'] }]);
    for (const [args, code] of [
      [['status', 'alpha'], 0],
      [['peek', 'alpha', '0', '4'], 0],
      [['save', 'alpha'], 6],
      [['restore', 'alpha', id], 6],
      [['rm', id], 6],
      [['gc'], 6],
      [['stop', 'alpha'], 6],
      [['run', 'delta'], 6],
      [['fork', id, 'delta'], 6],
      [['status', 'beta'], 6],
    ] as const) {
      expect([args, (await vitrine(...args)).code]).toEqual([args, code]);
    }
  });
});

describe('a command line', () => {
  it.each([
    [['save']],
    [['save', 'alpha', 'beta']],
    [['save', 'alpha', '--effort', 'much']],
    [['save', 'alpha', '--buffer', '1M']],
    [['restore', 'alpha']],
    [['restore', 'alpha', 'ab', '--fresh', '--lazy']],
    [['ls', 'alpha']],
    [['ls', '--', 'x']],
    [['log', '--frobnicate']],
    [['completions']],
    [['completions', 'tcsh']],
  ])('of %j is not understood', async (args) => {
    const { code, out, error } = await vitrine(...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(error).toMatch(/^vitrine \w+: .+\nvitrine \w+ --help tells more\.\n$/);
  });

  it('is completed by shells', async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { code, out } = await vitrine('completions', shell);
      expect(code).toBe(0);
      for (const word of ['restore', 'peek', 'completions']) expect(out).toContain(word);
      expect(out).toContain(shell === 'fish' ? '-l fresh' : '--fresh');
      expect(out).toContain('start list seek resume bookmark stop');
    }
  });

  it('is completed by bash: commands, then words and options, then options', async () => {
    const { out: script } = await vitrine('completions', 'bash');
    const offered = async (...words: string[]): Promise<string[]> => {
      const ask = `${script}
COMP_WORDS=(vitrine "$@"); COMP_CWORD=$#; _vitrine; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout } = await promisify(execFile)('bash', ['-c', ask, 'vitrine', ...words]);
      return stdout.trim().split('\n');
    };
    expect(await offered('rew')).toEqual(['rewind']);
    expect(await offered('rewind', 's')).toEqual(['start', 'seek', 'stop']);
    expect(await offered('rewind', '--f')).toEqual(['--forget']);
    expect(await offered('rewind', 'start', 's')).toEqual(['']);
    expect(await offered('rewind', 'start', '--ev')).toEqual(['--every']);
    expect(await offered('restore', 's')).toEqual(['']);
    expect(await offered('completions', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']));
  });
});

/** Work that is begun and never ends. */
function neverOf(started: string[], name: string): Promise<never> {
  started.push(name);
  return new Promise(() => {});
}
