// Who is let in: every check of an upgrade over real sockets, each refusal with its status and code, and their order.

import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newSecret } from '../../../src/host/bridge/secret-table.ts';
import { SERVER_LIMITS } from '../../../src/host/bridge/server-limits.ts';
import { Random } from '../../../src/testing/random.ts';
import { seedOfRun } from '../../support/seed.ts';
import {
  closeCodeOf,
  codeOf,
  connectOwner,
  connectWith,
  openTestServer,
  sendRaw,
  type TestServer,
  type TestServerOptions,
  upgradeText,
} from './test-server.ts';

let server: TestServer;
beforeEach(async () => {
  server = await openTestServer();
});
afterEach(() => server.close());

async function reopen(options: TestServerOptions): Promise<void> {
  await server.close();
  server = await openTestServer(options);
}

async function upgrade(changes: Record<string, string | undefined>, path?: string): Promise<string> {
  const answer = await sendRaw(server.port, upgradeText(server, changes, path));
  return answer.status === 101 ? 'in' : `${answer.status} ${codeOf(answer)}`;
}

const bearer = (): Record<string, string> => ({ Authorization: `Bearer ${server.token}` });
const ticketOf = (ticket: string): Record<string, string> => ({
  'Sec-WebSocket-Protocol': `vitrine.v1, ticket.${ticket}`,
});

/** A page's session: what it has to send for tickets. */
async function openSession(): Promise<Record<string, string>> {
  const key = server.server.mintAddress().split('#k=')[1]!;
  const response = await fetch(`${server.origin}/session`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Origin: server.origin },
    body: JSON.stringify({ key }),
  });
  const { proof } = (await response.json()) as { proof: string };
  return { Cookie: response.headers.get('set-cookie')!.split(';')[0]!, 'X-Vitrine-Proof': proof };
}

async function mintTicket(body: object = {}): Promise<string> {
  const response = await fetch(`${server.origin}/ticket`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Origin: server.origin, ...(await openSession()) },
    body: JSON.stringify(body),
  });
  return ((await response.json()) as { ticket: string }).ticket;
}

describe('an upgrade', () => {
  it('lets in the holder of the token, and a page with a ticket', async () => {
    expect(await upgrade(bearer())).toBe('in');
    const ticket = await mintTicket();
    expect(await upgrade({ Origin: server.origin, ...ticketOf(ticket) })).toBe('in');
    expect(server.begun.map(({ visitor }) => visitor.id)).toEqual(['token:owner', 'session:1']);
  });

  it('selects the protocol and echoes no ticket', async () => {
    const ticket = await mintTicket();
    const { status, headers } = await sendRaw(
      server.port,
      upgradeText(server, { Origin: server.origin, ...ticketOf(ticket) }),
    );
    expect(status).toBe(101);
    expect(headers['sec-websocket-protocol']).toBe('vitrine.v1');
    expect(headers['sec-websocket-extensions']).toBeUndefined();
  });

  it.each(['/', '/bridge/', '/bridge?k=1', '/Bridge', '//bridge', '/bridge/../bridge'])(
    'refuses the path %s',
    async (path) => {
      expect(await upgrade(bearer(), path)).toBe('404 path-unknown');
    },
  );

  it.each([
    'evil.example',
    'evil.example:80',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'localhost6',
    '128.0.0.1',
    '127.0.0.1:80@evil.example',
    '',
  ])('refuses the Host %j, whatever the Origin and the token', async (host) => {
    expect(await upgrade({ Host: host, Origin: `http://${host}`, ...bearer() })).toBe('421 host-not-allowed');
  });

  it.each(['localhost', 'LOCALHOST:7', '127.0.0.1', '127.3.2.1:9', '[::1]:7333'])(
    'takes the Host %s',
    async (host) => {
      expect(await upgrade({ Host: host, ...bearer() })).toBe('in');
    },
  );

  it('refuses every Origin but its own, the token included', async () => {
    for (const origin of [
      'http://evil.example',
      'null',
      '',
      `https://127.0.0.1:${server.port}`,
      `http://127.0.0.1:${server.port + 1}`,
      `http://127.0.0.1:${server.port}.evil.example`,
      `http://localhost:${server.port}`,
      `${server.origin}/`,
      server.origin.toUpperCase(),
    ]) {
      expect([origin, await upgrade({ Origin: origin, ...bearer() })]).toEqual([
        origin,
        '403 origin-not-allowed',
      ]);
    }
  });

  it('takes no Origin from holders of a token alone', async () => {
    const ticket = await mintTicket();
    expect(await upgrade(ticketOf(ticket))).toBe('403 origin-missing');
    // It was not used up by that.
    expect(await upgrade({ Origin: server.origin, ...ticketOf(ticket) })).toBe('in');
  });

  it('takes a ticket once, for so long, and no other', async () => {
    const page = { Origin: server.origin };
    expect(await upgrade(page)).toBe('401 ticket-missing');
    expect(await upgrade({ ...page, ...ticketOf(newSecret()) })).toBe('401 ticket-invalid');
    expect(await upgrade({ ...page, ...ticketOf('') })).toBe('401 ticket-invalid');
    const first = await mintTicket();
    expect(await upgrade({ ...page, ...ticketOf(first) })).toBe('in');
    expect(await upgrade({ ...page, ...ticketOf(first) })).toBe('401 ticket-invalid');
    const late = await mintTicket();
    server.pass(SERVER_LIMITS.ticketMs - 1);
    const inTime = await mintTicket();
    server.pass(1);
    expect(await upgrade({ ...page, ...ticketOf(late) })).toBe('401 ticket-invalid');
    expect(await upgrade({ ...page, ...ticketOf(inTime) })).toBe('in');
  });

  it('is refused by a wrong token and by a cookie alone', async () => {
    expect(await upgrade({ Authorization: `Bearer ${newSecret()}` })).toBe('401 token-invalid');
    expect(await upgrade({ Authorization: 'Basic b3duZXI6' })).toBe('401 token-invalid');
    expect(await upgrade({ Origin: server.origin, ...(await openSession()) })).toBe('401 ticket-missing');
  });

  it('wants the subprotocol', async () => {
    expect(await upgrade({ ...bearer(), 'Sec-WebSocket-Protocol': undefined })).toBe('400 protocol-missing');
    expect(await upgrade({ ...bearer(), 'Sec-WebSocket-Protocol': 'vitrine.v2' })).toBe(
      '400 protocol-missing',
    );
  });

  it('takes so many headers and bytes of them, cookies aside', async () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`X-${index}`, 'y']));
    const sent = upgradeText(server, bearer()).split('\r\n').length - 3;
    const room = SERVER_LIMITS.handshakeHeaders - sent;
    expect(await upgrade({ ...bearer(), ...many(room) })).toBe('in');
    expect(await upgrade({ ...bearer(), ...many(room + 1) })).toBe('431 handshake-too-large');
    const padding = 'p'.repeat(SERVER_LIMITS.handshakeBytes);
    expect(await upgrade({ ...bearer(), 'X-Padding': padding })).toBe('431 handshake-too-large');
    expect(await upgrade({ ...bearer(), Cookie: `other=${padding}` })).toBe('in');
    // Node's own bound, before anything of ours is asked.
    expect(await upgrade({ ...bearer(), Cookie: `other=${'p'.repeat(20_000)}` })).toBe(
      '431 handshake-too-large',
    );
  });

  it('answers with what would allow it, and all headers of the page', async () => {
    const { body, headers } = await sendRaw(server.port, upgradeText(server, { Host: 'evil.example' }));
    expect(JSON.parse(body)).toEqual({
      code: 'host-not-allowed',
      message: expect.stringContaining('Host'),
      allowedBy: '--allow-host NAME',
    });
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['cross-origin-embedder-policy']).toBe('require-corp');
  });

  it('names each refusal once a second in the log, and counts all of them', async () => {
    for (let count = 0; count < 5; count++) await upgrade({ Host: 'evil.example' });
    const refusals = () => server.events.filter(({ event }) => event === 'refused');
    expect(refusals()).toHaveLength(1);
    expect(server.server.metrics.countOf('vitrine_bridge_refusals_total', { code: 'host-not-allowed' })).toBe(
      5,
    );
    server.pass(1_000);
    await upgrade({ Host: 'evil.example' });
    expect(refusals()[1]!.fields).toMatchObject({ host: 'evil.example', leftOut: 4 });
  });

  it('keeps secrets out of the log', async () => {
    const ticket = await mintTicket();
    await upgrade({ Origin: 'http://evil.example', ...bearer(), ...ticketOf(ticket) });
    await upgrade({ Origin: server.origin, ...ticketOf(ticket) });
    const log = JSON.stringify(server.events);
    expect(log).toContain('refused');
    expect(log).not.toContain(server.token);
    expect(log).not.toContain(ticket);
  });
});

describe('bytes of any kind', () => {
  it('leave the server as it was, and let nobody in', async () => {
    const random = new Random(seedOfRun());
    const whole = upgradeText(server, { Origin: server.origin });
    for (let round = 0; round < 200; round++) {
      const bytes = Buffer.from(whole, 'latin1');
      const changes = 1 + random.below(8);
      for (let count = 0; count < changes; count++) bytes[random.below(bytes.length)] = random.below(256);
      const cut = random.below(4) === 0 ? random.below(bytes.length) : bytes.length;
      // What is cut would be waited for; the end of the stream says that there is no more.
      const { status } = await sendRaw(server.port, bytes.subarray(0, cut).toString('latin1'), { end: true });
      expect([0, 400, 401, 403, 404, 405, 408, 421, 426, 431], `round ${round}`).toContain(status);
    }
    expect(server.begun).toEqual([]);
    expect(await upgrade(bearer())).toBe('in');
    expect(server.events.filter(({ event }) => event === 'failed')).toEqual([]);
  });
});

describe('other hosts and origins', () => {
  it('come in where they were allowed', async () => {
    await reopen({ allowHosts: ['lab.example'], allowOrigins: ['https://lab.example'], behindProxy: true });
    expect(await upgrade({ Host: 'lab.example', Origin: 'https://lab.example', ...bearer() })).toBe('in');
    expect(await upgrade({ Host: 'lab.example', Origin: 'https://other.example', ...bearer() })).toBe(
      '403 origin-not-allowed',
    );
    expect(await upgrade({ Host: 'other.example', ...bearer() })).toBe('421 host-not-allowed');
  });

  it.each(['0.0.0.0', '::', '192.0.2.1', 'lab.example'])(
    'are refused at the start without TLS: %s',
    async (host) => {
      await expect(openTestServer({ listen: { host, port: 0 } })).rejects.toMatchObject({
        code: 'argument-invalid',
      });
    },
  );
});

describe('room', () => {
  it('is for so many of one session, and so many in all', async () => {
    await reopen({ limits: { connections: 5, connectionsPerSession: 3 } });
    const clients = [await connectOwner(server), await connectOwner(server), await connectOwner(server)];
    expect(await upgrade(bearer())).toBe('429 session-connections-full');
    const page = { Origin: server.origin };
    for (let count = 0; count < 2; count++) {
      clients.push(await connectWith(server, ['vitrine.v1', `ticket.${await mintTicket()}`], page));
    }
    expect(await upgrade({ ...page, ...ticketOf(await mintTicket()) })).toBe('503 connections-full');
    const closed = closeCodeOf(clients[0]!);
    clients[0]!.close();
    await closed;
    await expect.poll(() => server.server.connectionCount).toBe(4);
    expect(await upgrade(bearer())).toBe('in');
  });

  it('ends at 32 connections', async () => {
    await reopen({ limits: { connectionsPerSession: 64 } });
    await Promise.all(Array.from({ length: 32 }, () => connectOwner(server)));
    expect(server.server.connectionCount).toBe(32);
    expect(await upgrade(bearer())).toBe('503 connections-full');
  });
});

describe('a handshake', () => {
  it('that is slow ends with 408, and one that never comes too', async () => {
    await reopen({ limits: { handshakeMs: 100 } });
    const slow = await sendRaw(server.port, upgradeText(server, bearer()).slice(0, -4));
    expect(`${slow.status} ${codeOf(slow)}`).toBe('408 too-slow');
    const silent = connect(server.port, '127.0.0.1');
    await new Promise<void>((done) => silent.once('close', () => done()).on('data', () => {}));
    expect(server.server.connectionCount).toBe(0);
  });

  it('that is no HTTP ends with 400', async () => {
    const answer = await sendRaw(server.port, '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n');
    expect(`${answer.status} ${codeOf(answer)}`).toBe('400 request-invalid');
  });

  it('finds the bridge closing', async () => {
    const client = await connectOwner(server);
    const code = closeCodeOf(client);
    const closed = server.close();
    expect(await code).toBe(1012);
    await closed;
    await expect(sendRaw(server.port, upgradeText(server, bearer()))).rejects.toThrow('ECONNREFUSED');
  });
});
