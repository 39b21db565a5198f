// `vitrine serve` from its command line to its end: what it prints and leaves, its configuration, and what it refuses.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configOf, readDuration, readListen } from '../../../src/host/bridge/serve-config.ts';
import { selfSigned } from '../../support/self-signed.ts';
import { type RunningCommand, runCommand, startCommand } from './shell.ts';

let folder = '';
let environment: NodeJS.ProcessEnv = {};
const running: RunningCommand[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-serve-'));
  environment = { VITRINE_RUN_DIR: join(folder, 'run'), VITRINE_STORE: join(folder, 'store') };
});
afterEach(async () => {
  for (const command of running.splice(0)) {
    command.interrupt();
    await command.ended;
  }
  await rm(folder, { recursive: true, force: true });
});

interface Served {
  readonly command: RunningCommand;
  readonly origin: string;
  readonly address: string;
  readonly tokenFile: string;
}

async function serve(...args: string[]): Promise<Served> {
  const command = startCommand(['serve', '--listen', '127.0.0.1:0', '--json', ...args], environment);
  running.push(command);
  return { command, ...JSON.parse(await command.firstLine) };
}

describe('vitrine serve', () => {
  it('serves until it is interrupted, and leaves its store and audit alone', async () => {
    const { command, origin, address, tokenFile } = await serve();
    expect(address.startsWith(`${origin}/#k=`)).toBe(true);
    expect(await (await fetch(`${origin}/healthz`)).json()).toMatchObject({ status: 'ok' });
    const { token } = JSON.parse(await readFile(tokenFile, 'utf8'));
    const metrics = await fetch(`${origin}/metrics`, { headers: { Authorization: `Bearer ${token}` } });
    expect(metrics.status).toBe(200);
    command.interrupt();
    const { code, out, error } = await command.ended;
    expect(code).toBe(0);
    expect(error).toContain('"event":"closing"');
    expect(out + error).not.toContain(token);
    await expect(fetch(`${origin}/healthz`)).rejects.toThrow();
    await expect(access(tokenFile)).rejects.toThrow('ENOENT');
    expect((await readdir(folder)).sort()).toEqual(['run', 'store', 'store.audit.jsonl']);
  });

  it.each(['o d', 'été', 'a%20b', '100%', 'a,b=c', "it's #1?"])(
    'is found below a folder %j',
    async (name) => {
      const [run, store] = [join(folder, name, 'run'), join(folder, name, 'store')];
      await mkdir(join(folder, name));
      environment = { VITRINE_RUN_DIR: run, VITRINE_STORE: store };
      await serve();
      expect(await runCommand(['ls', '--json'], environment)).toMatchObject({ code: 0 });
      expect(await runCommand(['log', '--store', store], environment)).toMatchObject({ code: 0 });
    },
  );

  it('has its store alone, also where it is not seen by its run directory', async () => {
    const { command } = await serve();
    const elsewhere = { ...environment, VITRINE_RUN_DIR: join(folder, 'elsewhere') };
    const store = join(folder, 'store');
    const refused = { code: 5, error: expect.stringContaining(String(process.pid)) };
    expect(await runCommand(['serve', '--listen', '127.0.0.1:0'], elsewhere)).toMatchObject(refused);
    expect(await runCommand(['gc', '--store', store], elsewhere)).toMatchObject(refused);
    expect(await runCommand(['gc', '--store', store], environment)).toMatchObject({ code: 0 });
    expect(await runCommand(['log', '--store', store], elsewhere)).toMatchObject({ code: 0 });
    command.interrupt();
    await command.ended;
    expect(await runCommand(['gc', '--store', store], elsewhere)).toMatchObject({ code: 0 });
    // One that was killed has nothing any more.
    const gone = spawnSync(process.execPath, ['-e', '0']).pid;
    await writeFile(`${store}.bridge.json`, JSON.stringify({ pid: gone, startedAt: '1' }));
    expect(await runCommand(['gc', '--store', store], elsewhere)).toMatchObject({ code: 0 });
    await serve();
  });

  it('has more addresses to give while it runs', async () => {
    const { origin, command } = await serve();
    const { port } = new URL(origin);
    const first = await runCommand(['open'], environment);
    const second = await runCommand(['open', '--bridge', port, '--json'], environment);
    expect(first.out).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#k=[\w-]{43}\n$/);
    const { address } = JSON.parse(second.out);
    expect(address).not.toBe(first.out.trim());
    const opened = await fetch(`${origin}/session`, {
      method: 'POST',
      headers: { Origin: origin, 'Content-Type': 'application/json' },
      body: JSON.stringify({ key: address.split('#k=')[1] }),
    });
    expect(opened.status).toBe(200);
    expect((await runCommand(['open', '--bridge', '1'], environment)).code).toBe(9);
    command.interrupt();
    await command.ended;
    expect((await runCommand(['open'], environment)).code).toBe(9);
  });

  it('is reached by commands over its own socket, whatever TLS others need', async () => {
    const { cert, key } = selfSigned();
    await writeFile(join(folder, 'cert.pem'), cert);
    await writeFile(join(folder, 'key.pem'), key);
    const tls = ['--tls-cert', join(folder, 'cert.pem'), '--tls-key', join(folder, 'key.pem')];
    const { origin, tokenFile, command } = await serve(
      '--listen',
      '0.0.0.0:0',
      ...tls,
      '--allow-host',
      'lab.example',
    );
    expect(origin).toMatch(/^https:\/\/lab\.example:\d+$/);
    const { socket } = JSON.parse(await readFile(tokenFile, 'utf8'));
    expect((await stat(socket)).isSocket()).toBe(true);
    expect((await runCommand(['open'], environment)).out.startsWith(`${origin}/#k=`)).toBe(true);
    expect((await runCommand(['ls'], environment)).code).toBe(0);
    command.interrupt();
    await command.ended;
    expect(await readdir(join(folder, 'run'))).toEqual([]);
  });

  it('leaves a store to the bridge that has it', async () => {
    await serve();
    const second = await runCommand(['serve', '--listen', '127.0.0.1:0'], environment);
    expect(second.code).toBe(5);
    expect(second.error).toMatch(/^vitrine: busy: /);
  });

  it('says whose port it is', async () => {
    const { origin } = await serve();
    const { port } = new URL(origin);
    const second = await runCommand(
      ['serve', '--listen', port, '--store', join(folder, 'other')],
      environment,
    );
    expect(second).toMatchObject({ code: 5, error: expect.stringContaining('vitrine open') });
  });

  it('says in its log what failed for a visitor', async () => {
    const { command } = await serve();
    expect((await runCommand(['stop', 'nobody'], environment)).code).not.toBe(0);
    await expect
      .poll(() => command.printed.error)
      .toMatch(/"event":"stop-failed","code":"not-found","machine":"nobody"/);
    expect((await runCommand(['ls'], environment)).code).toBe(0);
    expect(command.printed.error.match(/-failed/g)).toHaveLength(1);
  });

  it('ends by itself when nobody uses it', async () => {
    const { command } = await serve('--idle-exit', '1s');
    expect((await command.ended).code).toBe(0);
  });

  it('prints an address alone on a pipe, and what it means beside it', async () => {
    const command = startCommand(['serve', '--listen', '0'], environment, 80);
    running.push(command);
    await expect.poll(() => command.printed.error, { timeout: 30_000 }).toContain('Snapshots');
    expect(command.printed.out).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#k=[\w-]{43}\n$/);
    expect(command.printed.error).toMatch(/QEMU/);
  });

  it('takes a configuration file, with flags before it', async () => {
    const file = join(folder, 'bridge.json');
    const token = 'student-token-of-some-length';
    const sha256 = createHash('sha256').update(token).digest('hex');
    const tokens = [
      { name: 'student', sha256, access: { pulse: ['observe'] } },
      { name: 'guest', access: { pulse: ['observe'] } },
    ];
    await writeFile(file, JSON.stringify({ listen: '127.0.0.1:1', tokens, limits: { connections: 1 } }));
    const { origin } = await serve('--config', file);
    expect(origin).not.toMatch(/:1$/);
    const ticket = await fetch(`${origin}/ticket`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: '{}',
    });
    expect(ticket.status).toBe(200);
    expect((await runCommand(['open', '--for', 'guest'], environment)).out.startsWith(`${origin}/#k=`)).toBe(
      true,
    );
    expect((await runCommand(['open', '--for', 'nobody'], environment)).code).toBe(3);
  });

  it.each([
    [['--frobnicate'], 2, 'frobnicate'],
    [['here'], 2, 'here'],
    [['--listen', '0.0.0.0:0'], 1, '--tls-cert'],
    [['--listen', 'no port'], 1, 'HOST:PORT'],
    [['--tls-cert', 'a.pem'], 1, 'tlsKey'],
    [['--idle-exit', 'soon'], 1, '30m'],
    [['--allow-origin', 'evil.example'], 1, 'SCHEME'],
    [['--config', 'none.json'], 3, 'not-found'],
    [['--tls-cert', 'none.pem', '--tls-key', 'none.key'], 3, 'not-found'],
    [['--listen', '0', '--store', '/proc/vitrine'], 1, 'a folder that can be made'],
    [['--listen', '0', '--store', '/dev/null/store'], 1, 'ENOTDIR'],
  ])('refuses %j with %i', async (args, code, text) => {
    const ran = await runCommand(['serve', ...args], environment);
    expect(ran).toMatchObject({ code, out: '', error: expect.stringContaining(text) });
  });
});

describe('a configuration', () => {
  it.each([
    [{ lisen: '1' }, 'lisen'],
    [{ limits: { conections: 1 } }, 'limits.conections'],
    [{ tokens: {} }, 'tokens'],
    [{ tokens: [{ name: 'owner' }] }, 'tokens[0].name'],
    [{ tokens: [{ name: 'a', sha256: 'ab' }] }, 'tokens[0].sha256'],
    [{ tokens: [{ name: 'a', sha256: 'a'.repeat(64), access: { b: ['all'] } }] }, 'tokens[0].access.b'],
    [{ tokens: [{ name: 'a', sha256: 'a'.repeat(64), access: {}, token: 'x' }] }, 'tokens[0].token'],
    [{ allowHosts: 'a' }, 'allowHosts'],
    [{ store: 7 }, 'store'],
  ])('of %j is refused at %s', (settings, name) => {
    expect(() => configOf(settings)).toThrow(
      expect.objectContaining({ code: 'argument-invalid', data: expect.objectContaining({ name }) }),
    );
  });

  it('has addresses and times', () => {
    expect(readListen('7333')).toEqual({ host: '127.0.0.1', port: 7333 });
    expect(readListen('[::1]:0')).toEqual({ host: '::1', port: 0 });
    expect(readListen('lab.example:443')).toEqual({ host: 'lab.example', port: 443 });
    for (const text of ['', ':1', 'a:b', '1.2.3.4', '1:99999', '[::1]']) {
      expect(() => readListen(text)).toThrow('HOST:PORT');
    }
    expect(['90s', '30m', '8h'].map(readDuration)).toEqual([90_000, 1_800_000, 28_800_000]);
    expect(() => readDuration('8d')).toThrow('8h');
  });
});
