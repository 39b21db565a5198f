// The connection under a program's WebSocket against a server that may send anything: what comes is the same bytes in the same
// order as through `ws` alone, however they are framed and cut, and what is wrong is refused as `ws` refuses it.

import { createHash } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type WebSocket from 'ws';
import { concatBytes, type OwnedBytes } from '../../../src/base/bytes.ts';
import { bearerSocket } from '../../../src/host/bridge/bearer-socket.ts';
import { Random } from '../../../src/testing/random.ts';
import { seedOfRun } from '../../support/seed.ts';

type Program = WebSocket & { reader: ((bytes: OwnedBytes) => void) | null };

interface Peer {
  readonly client: Program;
  /** The server's end, after its handshake. */
  readonly server: Socket;
  /** What came as messages of `ws`, and what came straight. */
  readonly messages: Uint8Array[];
  readonly straight: Uint8Array[];
  /** All of it in order. */
  readonly bytes: () => Uint8Array;
}

const servers: Server[] = [];
const clients: Program[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.terminate();
  await Promise.all(servers.splice(0).map((server) => new Promise((done) => server.close(done))));
});

/** A frame of a server. */
function frameOf(first: number, payload: Uint8Array): OwnedBytes {
  const length = payload.length;
  const head =
    length < 126
      ? [first, length]
      : length < 65_536
        ? [first, 126, length >> 8, length & 255]
        : [first, 127, 0, 0, 0, 0, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255];
  return concatBytes([Uint8Array.from(head), payload]);
}

const BINARY = 0x82;
const BEGUN = 0x02;
const GONE_ON = 0x00;
const ENDED = 0x80;
const TEXT = 0x81;
const PING = 0x89;
const CLOSE = 0x88;

/** A server that switches protocols, its answer followed at once by `behind`. */
async function openPeer(behind: Uint8Array = new Uint8Array(0)): Promise<Peer> {
  const accepted = new Promise<Socket>((resolve) => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (request) => {
        const [, key] = /sec-websocket-key: (.*)\r/i.exec(request.toString('latin1'))!;
        const accept = createHash('sha1')
          .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
          .digest('base64');
        const head = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: vitrine.v1\r\n\r\n`;
        socket.write(concatBytes([Buffer.from(head, 'latin1'), behind]));
        resolve(socket);
      });
    });
    servers.push(server.listen(0, '127.0.0.1'));
  });
  await new Promise((done) => servers.at(-1)!.once('listening', done));
  const { port } = servers.at(-1)!.address() as AddressInfo;
  const Socket = bearerSocket('token', () => {}) as unknown as new (url: string, names: string[]) => Program;
  const client = new Socket(`ws://127.0.0.1:${port}/bridge`, ['vitrine.v1']);
  clients.push(client);
  const [messages, straight, all]: Uint8Array[][] = [[], [], []];
  client.on('error', () => {});
  client.on('message', (data: Buffer) => {
    messages!.push(Uint8Array.from(data));
    all!.push(Uint8Array.from(data));
  });
  const opened = new Promise((done) => client.once('open', done));
  client.reader = (bytes) => {
    straight!.push(bytes.slice());
    all!.push(bytes.slice());
  };
  await opened;
  return {
    client,
    server: await accepted,
    messages: messages!,
    straight: straight!,
    bytes: () => concatBytes(all!),
  };
}

function closeOf(client: WebSocket): Promise<number> {
  return new Promise((done) => client.once('close', done));
}

describe('what a server sends', () => {
  it.each([1, 2, 3, 4])(
    'comes whole and in order, of random frames in random cuts, seed %i',
    async (seed) => {
      const random = new Random(seed * 1_000 + seedOfRun());
      const sent: Uint8Array[] = [];
      const wire: Uint8Array[] = [];
      for (let count = 0; count < 60; count++) {
        const length = random.pick([0, 1, 125, 126, 65_535, 65_536, random.below(300_000)]);
        const payload = random.bytes(length);
        const kind = random.below(5);
        if (kind === 0) wire.push(frameOf(PING, payload.subarray(0, 125)));
        else {
          sent.push(payload);
          if (kind > 1) wire.push(frameOf(BINARY, payload));
          else {
            const cut = random.below(length + 1);
            wire.push(frameOf(BEGUN, payload.subarray(0, cut)));
            wire.push(frameOf(PING, new Uint8Array(3)));
            wire.push(frameOf(ENDED | GONE_ON, payload.subarray(cut)));
          }
        }
      }
      const whole = concatBytes(wire);
      const behind = random.below(5_000);
      const { server, client, bytes, straight } = await openPeer(whole.subarray(0, behind));
      for (let at = behind; at < whole.length; ) {
        const piece = whole.subarray(at, at + 1 + random.below(random.pick([3, 3_000, 600_000])));
        at += piece.length;
        await new Promise((done) => server.write(piece, done));
      }
      const closed = closeOf(client);
      server.write(frameOf(CLOSE, Uint8Array.of(0x03, 0xe8)));
      expect(await closed).toBe(1000);
      expect(Buffer.compare(bytes(), concatBytes(sent))).toBe(0);
      expect(straight.length).toBeGreaterThan(0);
    },
  );

  it('goes to ws as messages where nobody takes it straight', async () => {
    const { server, client, messages, straight } = await openPeer();
    client.reader = null;
    server.write(frameOf(BINARY, new Uint8Array(70_000).fill(5)));
    await expect.poll(() => messages.length).toBe(1);
    expect(messages[0]!.length).toBe(70_000);
    expect(straight).toEqual([]);
  });

  it('is answered where it is a ping', async () => {
    const { server } = await openPeer();
    const answer = new Promise<Buffer>((done) => server.once('data', done));
    server.write(frameOf(PING, Uint8Array.of(7)));
    // A pong of one byte, masked.
    expect([...(await answer).subarray(0, 2)]).toEqual([0x8a, 0x81]);
  });

  it.each([
    ['a mask', Uint8Array.of(BINARY, 0x81, 1, 2, 3, 4, 5), 1002],
    ['a reserved bit', frameOf(BINARY | 0x40, new Uint8Array(3)), 1002],
    ['an unknown opcode', frameOf(0x83, new Uint8Array(3)), 1002],
    ['an end without a beginning', frameOf(ENDED, new Uint8Array(3)), 1002],
    [
      'a beginning within a message',
      concatBytes([frameOf(BEGUN, new Uint8Array(3)), frameOf(BINARY, new Uint8Array(3))]),
      1002,
    ],
    ['a length past all numbers', Uint8Array.of(BINARY, 127, 255, 255, 255, 255, 255, 255, 255, 255), 1009],
    ['a text', frameOf(TEXT, Uint8Array.of(0xff)), 1007],
  ])('ends the connection where it has %s', async (_, wire, code) => {
    const { server, straight } = await openPeer();
    const said = new Promise<Buffer>((done) => server.once('data', done));
    server.write(wire);
    const close = await said;
    const mask = close.subarray(2, 6);
    expect(close[0]).toBe(CLOSE);
    expect(((close[6]! ^ mask[0]!) << 8) | (close[7]! ^ mask[1]!)).toBe(code);
    expect(straight).toEqual([]);
  });

  it('ends with its connection', async () => {
    const { server, client } = await openPeer();
    const closed = closeOf(client);
    server.write(frameOf(BINARY, new Uint8Array(100)).subarray(0, 50));
    server.destroy();
    expect(await closed).toBe(1006);
  });
});

it('sends what a program sends, in order', async () => {
  const { server, client } = await openPeer();
  const received: Buffer[] = [];
  server.on('data', (data) => received.push(data));
  for (let index = 0; index < 40; index++) client.send(new Uint8Array(100_000).fill(index));
  await expect.poll(() => received.reduce((sum, { length }) => sum + length, 0)).toBe(40 * 100_014);
  const wire = Buffer.concat(received);
  for (let index = 0; index < 40; index++) {
    const frame = wire.subarray(index * 100_014, (index + 1) * 100_014);
    expect(frame[14 + 99_999]! ^ frame[10 + (99_999 % 4)]!).toBe(index);
  }
});
