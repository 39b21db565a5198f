// A bridge that others on the network reach: over TLS of its own, or behind a proxy that has it.

import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { afterEach, expect, it } from 'vitest';
import WebSocket from 'ws';
import { selfSigned } from '../../support/self-signed.ts';
import { codeOf, openTestServer, sendRaw, type TestServer, upgradeText } from './test-server.ts';

const pair = selfSigned();

let server: TestServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

function post(port: number, path: string, headers: Record<string, string>, body: string) {
  return new Promise<{ status: number; headers: IncomingMessage['headers']; text: string }>((done, fail) => {
    const asked = request(
      { host: '127.0.0.1', port, path, method: 'POST', ca: pair.cert, headers },
      async (answer) => {
        const chunks: Buffer[] = [];
        for await (const chunk of answer) chunks.push(chunk as Buffer);
        done({ status: answer.statusCode!, headers: answer.headers, text: Buffer.concat(chunks).toString() });
      },
    );
    asked.on('error', fail);
    asked.end(body);
  });
}

it('has TLS on any address, and cookies that go over nothing else', async () => {
  server = await openTestServer({
    listen: { host: '0.0.0.0', port: 0 },
    tls: pair,
    allowHosts: ['lab.example'],
  });
  const address = server.server.mintAddress();
  expect(address).toMatch(/^https:\/\/lab\.example:\d+\/#k=/);
  const key = address.split('#k=')[1]!;
  const own = `https://127.0.0.1:${server.port}`;
  const headers = { 'Content-Type': 'application/json', Origin: own };
  const opened = await post(server.port, '/session', headers, JSON.stringify({ key }));
  expect(opened.status).toBe(200);
  expect(opened.headers['set-cookie']![0]).toMatch(
    /^__Host-vitrine-\d+=.+; Path=\/; HttpOnly; SameSite=Strict; Secure$/,
  );
  // The same origin without TLS is another one.
  const plain = await post(
    server.port,
    '/session',
    { ...headers, Origin: own.replace('https', 'http') },
    '{}',
  );
  expect(JSON.parse(plain.text)).toMatchObject({ code: 'origin-not-allowed' });

  const client = new WebSocket(`wss://127.0.0.1:${server.port}/bridge`, ['vitrine.v1'], {
    ca: pair.cert,
    headers: { Authorization: `Bearer ${server.token}` },
  });
  const echoed = new Promise<Buffer>((done, fail) => {
    client.once('message', (data: Buffer) => done(data));
    client.once('error', fail);
  });
  await new Promise<void>((done) => client.once('open', () => done()));
  client.send(Uint8Array.of(1, 2, 3));
  expect([...(await echoed)]).toEqual([1, 2, 3]);
  client.close();
});

it('answers nobody who speaks plainly to it', async () => {
  server = await openTestServer({ tls: pair });
  const { status } = await sendRaw(server.port, upgradeText(server));
  expect(status).not.toBe(101);
  expect(server.server.connectionCount).toBe(0);
});

it('behind a proxy takes the names and origins it was told, and marks cookies as secure', async () => {
  server = await openTestServer({
    behindProxy: true,
    allowHosts: ['lab.example'],
    allowOrigins: ['https://lab.example'],
  });
  const address = server.server.mintAddress();
  expect(address).toMatch(/^https:\/\/lab\.example\/#k=/);
  const session = (origin: string) => {
    const body = JSON.stringify({ key: address.split('#k=')[1] });
    const lines = [
      'POST /session HTTP/1.1',
      ...['Host: lab.example', `Origin: ${origin}`, 'Content-Type: application/json'],
      ...[`Content-Length: ${body.length}`, 'Connection: close'],
    ];
    return sendRaw(server!.port, `${lines.join('\r\n')}\r\n\r\n${body}`);
  };
  expect(codeOf(await session('https://evil.example'))).toBe('origin-not-allowed');
  const opened = await session('https://lab.example');
  expect(opened.status).toBe(200);
  expect(opened.headers['set-cookie']).toContain('; Secure');
});
