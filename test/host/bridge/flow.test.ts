// What a connection may do once it is in: sizes, fragments, deflate, drips, floods, and peers that stop reading.

import { deflateRawSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import type { BridgeChannel } from '../../../src/bridge/channel.ts';
import { type LimitName, limitsWith, SERVER_LIMITS } from '../../../src/host/bridge/server-limits.ts';
import { closeCodeOf, connectOwner, openTestServer, socketOf, type TestServer } from './test-server.ts';

const MIB = 1024 * 1024;

let server: TestServer;
afterEach(() => server?.close());

/** A masked frame of a client, with any bits; the mask is zero, so that the payload stands as it is. */
function frameOf(first: number, payload: Uint8Array): Buffer {
  const length = payload.length;
  const head =
    length < 126
      ? [first, 0x80 | length]
      : length < 65_536
        ? [first, 0x80 | 126, length >> 8, length & 255]
        : [
            first,
            0x80 | 127,
            0,
            0,
            0,
            0,
            length >>> 24,
            (length >> 16) & 255,
            (length >> 8) & 255,
            length & 255,
          ];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), payload]);
}

const BINARY = 0x82;

/** A session that keeps what it gets. */
async function openSink(limits: Partial<Record<LimitName, number>> = {}): Promise<{
  readonly received: Uint8Array[];
  channel(): BridgeChannel;
}> {
  const received: Uint8Array[] = [];
  server = await openTestServer({
    limits,
    serve: (channel) => {
      channel.onMessage = (message) => void received.push(message);
    },
  });
  return { received, channel: () => server.begun[0]!.channel };
}

describe('a message', () => {
  it('comes back whole up to the limit, and ends the connection with 1009 one byte past it', async () => {
    server = await openTestServer();
    const client = await connectOwner(server);
    const largest = new Uint8Array(SERVER_LIMITS.messageBytes).fill(7);
    client.send(largest);
    const [echoed] = await new Promise<[Buffer]>((done) =>
      client.once('message', (data: Buffer) => done([data])),
    );
    expect(echoed.equals(largest)).toBe(true);
    const code = closeCodeOf(client);
    client.send(new Uint8Array(SERVER_LIMITS.messageBytes + 1));
    expect(await code).toBe(1009);
  });

  it('may come a byte at a time', async () => {
    const sink = await openSink();
    const client = await connectOwner(server);
    const socket = socketOf(client).setNoDelay(true);
    const payload = Uint8Array.from({ length: 200 }, (_, index) => index);
    for (const byte of frameOf(BINARY, payload)) {
      await new Promise<void>((done) => socket.write(Uint8Array.of(byte), () => done()));
    }
    await expect.poll(() => sink.received.length).toBe(1);
    expect(Uint8Array.from(sink.received[0]!)).toEqual(payload);
  });

  it('of a length that is claimed and never comes costs nothing', async () => {
    await openSink();
    const client = await connectOwner(server);
    const code = closeCodeOf(client);
    socketOf(client).write(Buffer.from([BINARY, 0x80 | 127, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]));
    expect(await code).toBe(1009);
  });

  it.each([
    [64, 'whole'],
    [65, 1008],
  ])('in %i fragments: %s', async (count, outcome) => {
    const sink = await openSink();
    const client = await connectOwner(server);
    const code = closeCodeOf(client);
    const socket = socketOf(client);
    for (let index = 0; index < count; index++) {
      const first = (index === count - 1 ? 0x80 : 0) | (index === 0 ? 2 : 0);
      socket.write(frameOf(first, Uint8Array.of(index)));
    }
    if (outcome === 'whole') await expect.poll(() => sink.received.map(({ length }) => length)).toEqual([64]);
    else expect(await code).toBe(outcome);
  });

  it('that is compressed is refused, and compression is never agreed on', async () => {
    await openSink();
    const client = await connectOwner(server, { perMessageDeflate: true });
    expect(client.extensions).toBe('');
    const code = closeCodeOf(client);
    // 64 MiB of zeros in 64 KiB on the wire.
    socketOf(client).write(frameOf(BINARY | 0x40, deflateRawSync(Buffer.alloc(64 * MIB))));
    expect(await code).toBe(1002);
  });

  it('of text is refused', async () => {
    await openSink();
    const client = await connectOwner(server);
    const code = closeCodeOf(client);
    client.send('list');
    expect(await code).toBe(1003);
  });

  it('without a mask, and bytes that are none at all, end the connection', async () => {
    await openSink();
    for (const bytes of [Buffer.from([BINARY, 1, 7]), Buffer.from([0xff, 0xff, 0xff, 0xff])]) {
      const client = await connectOwner(server);
      const code = closeCodeOf(client);
      socketOf(client).write(bytes);
      expect(await code).toBe(1002);
    }
  });
});

describe('a flood', () => {
  it('is taken at its rate, waits in the kernel meanwhile, and arrives whole', async () => {
    const sink = await openSink({ messagesPerSecond: 10, messageBurst: 20 });
    const client = await connectOwner(server);
    // More than sockets hold, so that its end cannot have been read.
    const sent = 20_000;
    for (let index = 0; index < sent; index++) client.send(new Uint8Array(1_024).fill(index));
    await expect.poll(() => sink.received.length).toBe(20);
    await expect
      .poll(() => server.server.metrics.countOf('vitrine_bridge_throttled_total'))
      .toBeGreaterThan(0);
    server.pass(1_000);
    expect(sink.received.length).toBe(30);
    server.pass(100);
    expect(sink.received.length).toBe(31);
    const read = server.server.metrics.countOf('vitrine_bridge_messages_total', { direction: 'in' });
    // Chunks of 64 KiB are what a socket gives at once.
    expect(read).toBeLessThan(1_000);
    expect(client.bufferedAmount).toBeGreaterThan(0);
    expect(sink.received.every(([first], index) => first === index % 256)).toBe(true);
  });

  it('of pings ends the connection', async () => {
    await openSink();
    const client = await connectOwner(server);
    const closed = closeCodeOf(client);
    for (let index = 0; index < 500; index++) client.ping();
    await closed;
    await expect.poll(() => server.server.connectionCount).toBe(0);
  });
});

describe('a peer that stops reading', () => {
  it('is not read past the high-water mark, and is when it has caught up', async () => {
    const sink = await openSink({ highWaterBytes: 4 * MIB, lowWaterBytes: MIB });
    const client = await connectOwner(server);
    client.pause();
    let drains = 0;
    sink.channel().onDrain = () => {
      drains += 1;
    };
    while (sink.channel().bufferedBytes <= 4 * MIB) sink.channel().send(new Uint8Array(256 * 1024));
    // The kernel takes some of it at once; none of it leaves while nobody reads.
    await expect.poll(() => sink.channel().bufferedBytes).toBeGreaterThan(MIB);
    client.send(Uint8Array.of(1));
    server.pass(1_000);
    expect(drains).toBe(0);
    const before = sink.received.length;
    client.resume();
    await expect.poll(() => sink.received.length).toBe(1);
    expect({ before, drains }).toEqual({ before: 0, drains: 1 });
  });

  it('is ended before more than 16 MiB wait for it', async () => {
    const sink = await openSink();
    const client = await connectOwner(server);
    client.pause();
    const message = new Uint8Array(512 * 1024);
    let most = 0;
    for (let count = 0; count < 200 && server.server.connectionCount === 1; count++) {
      sink.channel().send(message);
      most = Math.max(most, sink.channel().bufferedBytes);
      await new Promise((done) => setImmediate(done));
    }
    expect(server.server.connectionCount).toBe(0);
    expect(most).toBeLessThanOrEqual(SERVER_LIMITS.outboundBytes);
    expect(most).toBeGreaterThan(8 * MIB);
    expect(
      server.server.metrics.countOf('vitrine_bridge_disconnections_total', { why: 'outbound-full' }),
    ).toBe(1);
  });

  it('is ended when nothing has left for 30 s, however little waits', async () => {
    const sink = await openSink();
    const client = await connectOwner(server);
    client.pause();
    while (sink.channel().bufferedBytes < MIB) {
      sink.channel().send(new Uint8Array(256 * 1024));
      await new Promise((done) => setImmediate(done));
    }
    server.pass(1);
    server.pass(SERVER_LIMITS.stalledMs - 1);
    expect(server.server.connectionCount).toBe(1);
    server.pass(1);
    await expect.poll(() => server.server.connectionCount).toBe(0);
    expect(server.server.metrics.countOf('vitrine_bridge_disconnections_total', { why: 'stalled' })).toBe(1);
  });

  it('is left alone as long as something leaves', async () => {
    const sink = await openSink();
    const client = await connectOwner(server);
    for (let count = 0; count < 10; count++) {
      sink.channel().send(new Uint8Array(1_000));
      await expect.poll(() => sink.channel().bufferedBytes).toBe(0);
      server.pass(SERVER_LIMITS.stalledMs);
    }
    expect(client.readyState).toBe(client.OPEN);
  });
});

describe('limits', () => {
  it('are changed by name, and by no other', () => {
    expect(limitsWith({ connections: 2 }).connections).toBe(2);
    for (const changes of [
      { conections: 2 },
      { connections: 0 },
      { connections: 1.5 },
      { connections: '2' },
    ]) {
      expect(() => limitsWith(changes)).toThrow(expect.objectContaining({ code: 'argument-invalid' }));
    }
    expect(() => limitsWith({ lowWaterBytes: 64 * MIB })).toThrow('lowWaterBytes');
  });
});
