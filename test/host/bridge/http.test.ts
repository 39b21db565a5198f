// The bridge over plain HTTP: sessions, tickets, keys, files, health, metrics, and the headers on all of it.

import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, newSecret } from '../../../src/host/bridge/secret-table.ts';
import { SERVER_LIMITS } from '../../../src/host/bridge/server-limits.ts';
import { openStaticFolder } from '../../../src/host/bridge/static-folder.ts';
import { codeOf, connectWith, openTestServer, sendRaw, type TestServer } from './test-server.ts';

let folder = '';
let server: TestServer;
const studentToken = newSecret();
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-page-'));
  const page = join(folder, 'page');
  await mkdir(join(page, 'assets'), { recursive: true });
  await mkdir(join(page, '.hidden'));
  await writeFile(join(page, 'index.html'), '<html><head><title>Vitrine</title></head></html>');
  await writeFile(join(page, 'assets', 'index-1a2b.js'), 'export {};');
  await writeFile(join(page, 'assets', 'v86.wasm'), Uint8Array.of(0, 97, 115, 109));
  await writeFile(join(page, 'assets', 'empty.css'), '');
  await writeFile(join(page, '.hidden', 'a.txt'), 'hidden');
  await writeFile(join(folder, 'secret.txt'), 'secret');
  await symlink(join(folder, 'secret.txt'), join(page, 'link.txt'));
  server = await openTestServer({
    page: await openStaticFolder(page),
    tokens: [
      {
        name: 'student',
        digest: digestOf(studentToken),
        access: { pulse: ['observe', 'peek'], linux: ['observe'] },
      },
      // One who has no token at all.
      { name: 'guest', digest: undefined, access: { pulse: ['observe'] } },
    ],
  });
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

interface Asked {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what a test reads of an answer.
  readonly body: any;
}

async function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Asked> {
  const response = await fetch(`${server.origin}${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Origin: server.origin, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

const newKey = (): string => server.server.mintAddress().split('#k=')[1]!;

async function openSession(key = newKey()): Promise<Record<string, string>> {
  const { headers, body } = await post('/session', { key });
  return { Cookie: headers.get('set-cookie')!.split(';')[0]!, 'X-Vitrine-Proof': body.proof };
}

describe('a session', () => {
  it('is had for the key of the printed address, once', async () => {
    const key = newKey();
    const { status, headers, body } = await post('/session', { key });
    expect({ status, body }).toEqual({ status: 200, body: { subject: 'owner', proof: expect.any(String) } });
    expect(headers.get('set-cookie')).toMatch(/^vitrine-\d+=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(await post('/session', { key })).toMatchObject({ status: 401, body: { code: 'key-invalid' } });
  });

  it('is not had for a key that is late, wrong, or asked for by another page', async () => {
    const key = newKey();
    expect((await post('/session', { key: newSecret() })).body.code).toBe('key-invalid');
    expect((await post('/session', { key: 7 })).body.code).toBe('body-invalid');
    expect((await post('/session', { key }, { Origin: 'http://evil.example' })).body.code).toBe(
      'origin-not-allowed',
    );
    for (const site of ['same-site', 'cross-site']) {
      const raw = await sendRaw(
        server.port,
        postText('/session', JSON.stringify({ key }), { 'Sec-Fetch-Site': site }),
      );
      expect(codeOf(raw)).toBe('site-not-allowed');
    }
    expect(codeOf(await sendRaw(server.port, postText('/session', '{}', { Origin: undefined })))).toBe(
      'origin-missing',
    );
    // None of that used it up.
    server.pass(SERVER_LIMITS.keyMs - 1);
    const late = newKey();
    expect((await post('/session', { key })).status).toBe(200);
    server.pass(SERVER_LIMITS.keyMs);
    expect((await post('/session', { key: late })).body.code).toBe('key-invalid');
  });

  it('wants its cookie and its proof', async () => {
    const { Cookie, ...proof } = await openSession();
    const other = await openSession();
    expect((await post('/ticket', {}, { Cookie: Cookie!, ...proof })).status).toBe(200);
    expect((await post('/ticket', {}, { Cookie: Cookie! })).body.code).toBe('session-missing');
    expect((await post('/ticket', {}, proof)).body.code).toBe('session-missing');
    expect((await post('/ticket', {}, { ...other, Cookie: Cookie! })).body.code).toBe('session-missing');
  });

  it('ends when it is closed, and by itself', async () => {
    const session = await openSession();
    expect((await post('/session/close', {}, session)).status).toBe(200);
    expect((await post('/ticket', {}, session)).body.code).toBe('session-missing');
    const late = await openSession();
    server.pass(SERVER_LIMITS.sessionMs);
    expect((await post('/ticket', {}, late)).body.code).toBe('session-missing');
  });
});

describe('a ticket', () => {
  const withToken = (token: string) => ({ Authorization: `Bearer ${token}` });

  async function grantWith(body: object, token: string) {
    const { ticket } = (await post('/ticket', body, withToken(token))).body;
    const client = await connectWith(server, ['vitrine.v1', `ticket.${ticket}`], { Origin: server.origin });
    client.close();
    return server.begun.at(-1)!.visitor.grant;
  }

  it('carries what its holder may, or less', async () => {
    const all = await grantWith({}, studentToken);
    const peeks = { permission: 'peek', verb: 'peek' } as const;
    expect(all.subject).toBe('student');
    expect(all.allows({ ...peeks, machine: 'pulse' })).toBe(true);
    expect(all.allows({ ...peeks, machine: 'linux' })).toBe(false);
    expect(all.allows({ ...peeks, machine: 'other' })).toBe(false);
    expect(all.allows({ ...peeks, machine: null })).toBe(false);
    const some = await grantWith({ machine: 'pulse', permissions: ['observe'] }, server.token);
    expect(some.allows({ permission: 'observe', verb: 'list', machine: 'pulse' })).toBe(true);
    expect(some.allows({ permission: 'observe', verb: 'list', machine: 'linux' })).toBe(false);
    expect(some.allows({ permission: 'observe', verb: 'list', machine: null })).toBe(false);
    expect(some.allows({ ...peeks, machine: 'pulse' })).toBe(false);
  });

  it('with more than its holder has is refused', async () => {
    for (const body of [
      { machine: 'pulse', permissions: ['save'] },
      { machine: 'linux', permissions: ['observe', 'peek'] },
      { machine: '*', permissions: ['observe'] },
      { permissions: ['observe'] },
    ]) {
      expect((await post('/ticket', body, withToken(studentToken))).body.code).toBe('permission-denied');
    }
  });

  it('is refused for what is none', async () => {
    for (const body of [
      { machine: '../pulse' },
      { machine: 'Pulse' },
      { machine: 'a'.repeat(65) },
      { machine: 7 },
      { permissions: ['everything'] },
      { permissions: 'observe' },
      [],
      'null',
      '{',
    ]) {
      expect((await post('/ticket', body, withToken(server.token))).body.code).toBe('body-invalid');
    }
    const large = await post(
      '/ticket',
      { padding: 'p'.repeat(SERVER_LIMITS.bodyBytes) },
      withToken(server.token),
    );
    expect({ status: large.status, code: large.body.code }).toEqual({ status: 413, code: 'body-too-large' });
    const form = await post('/ticket', '{}', { ...withToken(server.token), 'Content-Type': 'text/plain' });
    expect(form.body.code).toBe('body-invalid');
    expect((await post('/ticket', {}, withToken(newSecret()))).body.code).toBe('token-invalid');
  });
});

describe('a key', () => {
  it('is had for a token, and opens the page as its holder', async () => {
    const { body } = await post('/key', {}, { Authorization: `Bearer ${studentToken}` });
    expect(body.address).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#k=[\w-]{43}$/);
    const opened = await post('/session', { key: body.address.split('#k=')[1] });
    expect(opened.body.subject).toBe('student');
    expect((await post('/key', {}, await openSession())).body.code).toBe('token-invalid');
  });

  it('is had by the owner for others, and by nobody else for anybody', async () => {
    const keyFor = (name: unknown, token: string) =>
      post('/key', { for: name }, { Authorization: `Bearer ${token}` });
    for (const name of ['student', 'guest']) {
      const { address } = (await keyFor(name, server.token)).body;
      const opened = await post('/session', { key: address.split('#k=')[1] });
      expect(opened.body.subject).toBe(name);
    }
    expect((await keyFor('nobody', server.token)).body.code).toBe('visitor-unknown');
    expect((await keyFor(7, server.token)).body.code).toBe('body-invalid');
    expect((await keyFor('owner', studentToken)).body.code).toBe('permission-denied');
    expect((await keyFor('student', studentToken)).body.code).toBe('permission-denied');
  });
});

describe('files', () => {
  const get = (path: string, text = '') =>
    sendRaw(server.port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${text}\r\n`);

  it('are served with their types and all headers', async () => {
    const page = await get('/');
    expect(page).toMatchObject({ status: 200, headers: { 'content-type': 'text/html; charset=utf-8' } });
    expect(page.body).toContain('<meta name="vitrine-bridge" content="vitrine.v1" /></head>');
    const script = await get('/assets/index-1a2b.js');
    expect(script).toMatchObject({
      status: 200,
      body: 'export {};',
      headers: {
        'content-type': 'text/javascript; charset=utf-8',
        'cache-control': 'public, max-age=31536000, immutable',
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-embedder-policy': 'require-corp',
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'same-origin',
      },
    });
    const policy = script.headers['content-security-policy']!;
    expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain("'unsafe-eval'");
    expect((await get('/assets/v86.wasm')).headers['content-type']).toBe('application/wasm');
    expect(await get('/assets/empty.css')).toMatchObject({ status: 200, body: '' });
  });

  it('are not sent again to who has them', async () => {
    const { headers } = await get('/assets/v86.wasm');
    const again = await get('/assets/v86.wasm', `If-None-Match: ${headers.etag}\r\n`);
    expect(again).toMatchObject({ status: 304, body: '' });
  });

  it.each([
    '/../secret.txt',
    '/assets/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/assets/..%5c..%5csecret.txt',
    '/link.txt',
    '/.hidden/a.txt',
    '/assets',
    '/assets/',
    '//etc/passwd',
    '/assets//index-1a2b.js',
    '/index.html%00.js',
    '/nothing.js',
    '/guests/vmlinuz',
    'http://localhost/../secret.txt',
  ])('are the folder’s own alone: %s', async (path) => {
    const answer = await get(path);
    expect(`${answer.status} ${codeOf(answer)}`).toBe('404 path-unknown');
    expect(answer.headers['x-content-type-options']).toBe('nosniff');
  });

  it('are no images where there are none, which is an answer', async () => {
    const { status, headers, body } = await get('/guests/manifest.json');
    expect({ status, body }).toEqual({ status: 204, body: '' });
    expect(headers['x-content-type-options']).toBe('nosniff');
  });

  it('are read alone', async () => {
    expect((await post('/index.html', {})).body.code).toBe('method-not-allowed');
    expect((await post('/healthz', {})).headers.get('allow')).toBe('GET');
    const head = await sendRaw(
      server.port,
      'HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    );
    expect(head).toMatchObject({ status: 200, body: '' });
    expect(codeOf(await get('/bridge'))).toBe('upgrade-required');
  });
});

describe('health and metrics', () => {
  it('tell anybody on this host that it lives, and the owner what it counts', async () => {
    const health = await fetch(`${server.origin}/healthz`);
    expect(await health.json()).toEqual({ status: 'ok' });
    const raw = await sendRaw(
      server.port,
      'GET /healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
    );
    expect(codeOf(raw)).toBe('host-not-allowed');
    const metrics = (token: string) =>
      fetch(`${server.origin}/metrics`, { headers: { Authorization: `Bearer ${token}` } });
    expect((await metrics(studentToken)).status).toBe(403);
    expect((await fetch(`${server.origin}/metrics`)).status).toBe(403);
    const text = await (await metrics(server.token)).text();
    expect(text).toContain('vitrine_bridge_refusals_total{code="host-not-allowed"} 1\n');
    expect(text).toMatch(/^vitrine_bridge_connections 0$/m);
    // Each line is a comment or a sample.
    expect(
      text.split('\n').filter((line) => !/^(# (HELP|TYPE) \w+ .+|\w+(\{.+\})? [\d.]+|)$/.test(line)),
    ).toEqual([]);
  });

  it('count what goes over connections', async () => {
    const client = await connectWith(server, ['vitrine.v1'], { Authorization: `Bearer ${server.token}` });
    client.send(new Uint8Array(300));
    const { metrics } = server.server;
    await expect.poll(() => metrics.countOf('vitrine_bridge_bytes_total', { direction: 'out' })).toBe(300);
    expect(metrics.countOf('vitrine_bridge_bytes_total', { direction: 'in' })).toBe(300);
    client.close();
    await expect.poll(() => server.server.connectionCount).toBe(0);
    server.pass(5_000);
    expect(server.server.idleMs).toBe(5_000);
  });
});

function postText(path: string, body: string, headers: Record<string, string | undefined>): string {
  const all: Record<string, string | undefined> = {
    Host: `127.0.0.1:${server.port}`,
    Origin: server.origin,
    'Content-Type': 'application/json',
    'Content-Length': String(body.length),
    Connection: 'close',
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) =>
    value === undefined ? '' : `${name}: ${value}\r\n`,
  );
  return `POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}
