// The client by itself: every pending call settles, streams are held back, what a host sends wrongly ends the connection.

import { describe, expect, it } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import { MIB } from '../../src/base/limits.ts';
import { backOffMs } from '../../src/bridge/back-off.ts';
import { BridgeConnection } from '../../src/bridge/bridge-connection.ts';
import { BRIDGE_LIMITS } from '../../src/bridge/bridge-limits.ts';
import { encodeBody } from '../../src/bridge/control-body.ts';
import { creditFrame, encodeFrame, type FrameParts } from '../../src/bridge/frame.ts';
import { grantOf, PERMISSIONS, type Permission } from '../../src/bridge/grant.ts';
import { RemoteStore } from '../../src/bridge/remote-store.ts';
import { retryOverloaded } from '../../src/bridge/retry-overloaded.ts';
import { channelPair } from '../support/channel-pair.ts';
import { openFlatHost } from './bridge-host.ts';
import { connectTo } from './connect.ts';

describe('a client', () => {
  it('settles every call when the connection is lost, and says how it stands', async () => {
    const host = await openFlatHost({ alpha: 4096 });
    const connection = await connectTo(host);
    const { client } = connection;
    connection.hostEnd.hold();
    const peeking = client.machine('alpha').peek([{ address: 0, lengthBytes: 16 * MIB }]);
    const listing = client.machines();
    const port = client.machine('alpha').openConsole({ onBytes: () => {} });
    connection.clientEnd.cut();
    for (const call of [peeking, listing, port.closed]) {
      await expect(call).rejects.toMatchObject({ code: 'connection-lost' });
    }
    await expect.poll(() => client.state.kind).toBe('open');
    expect(await client.machines()).toHaveLength(1);
    client.close();
    expect(client.state).toMatchObject({ kind: 'closed', reason: { code: 'connection-lost' } });
    await expect(client.machines()).rejects.toMatchObject({ code: 'connection-lost' });
  });

  it('waits longer after each failure, gives up in the end, and says so', async () => {
    const waits: number[] = [];
    const connection = await connectTo(await openFlatHost(), {
      client: {
        wait: async (ms) => void waits.push(ms),
        backOff: { firstMs: 100, mostMs: 1000, maxAttempts: 6 },
      },
      onConnect: (attempt) => {
        if (attempt > 0) throw new VitrineError('connection-lost');
      },
    });
    connection.clientEnd.cut();
    await expect.poll(() => connection.client.state.kind).toBe('closed');
    expect(waits).toEqual([50, 100, 200, 400, 500, 500]);
    await expect(connection.client.machines()).rejects.toMatchObject({ code: 'connection-lost' });
    expect([backOffMs(1, 0), backOffMs(1, 1), backOffMs(99, 1)]).toEqual([125, 250, 15_000]);
  });

  it('does not try again what is refused', async () => {
    const connection = await connectTo(await openFlatHost(), {
      onConnect: (attempt) => {
        if (attempt > 0) throw new VitrineError('permission-denied');
      },
    });
    connection.clientEnd.cut();
    await expect
      .poll(() => connection.client.state)
      .toMatchObject({
        kind: 'closed',
        reason: { code: 'permission-denied' },
      });
  });

  it('asks again when the host was too busy and said when', async () => {
    const waits: number[] = [];
    let refusals = 3;
    const outcome = await retryOverloaded(
      async () => {
        if (refusals-- > 0) throw new VitrineError('overloaded', { retryAfterMs: 30 * refusals });
        return 'done';
      },
      undefined,
      async (ms) => void waits.push(ms),
    );
    expect([outcome, waits]).toEqual(['done', [60, 30, 0]]);
    const never = retryOverloaded(
      () => Promise.reject(new VitrineError('overloaded', { retryAfterMs: 1e9 })),
      undefined,
      async (ms) => void waits.push(ms),
    );
    await expect(never).rejects.toMatchObject({ code: 'overloaded' });
    expect(Math.max(...waits)).toBe(5000);

    // Over a bridge, with what is streamed up too.
    let nowMs = 0;
    const clock = { nowMs: () => (nowMs += 20), wallMs: () => 0 };
    const connection = await connectTo(await openFlatHost(), {
      session: { clock, requestsPerSecond: 10, requestBurst: 2 },
    });
    const store = new RemoteStore(connection.client);
    for (let index = 0; index < 4; index++) await store.put(`packs/${index}`, Uint8Array.of(index));
    expect(await store.get('packs/3')).toEqual(Uint8Array.of(3));
  });

  it('refuses wrong parameters before it sends any', async () => {
    const { client } = await connectTo(await openFlatHost());
    await expect(client.machine('No Name').status()).rejects.toMatchObject({
      code: 'format-range',
      data: { field: 'machine' },
    });
  });

  it('asks for what is streamed in one message, with leave to send it', async () => {
    const connection = await connectTo(await openFlatHost({ alpha: 4 }));
    const lengths: number[] = [];
    const take = connection.hostEnd.onMessage!;
    connection.hostEnd.onMessage = (message) => {
      lengths.push(message.length);
      take(message);
    };
    await connection.client.machine('alpha').peek([{ address: 0, lengthBytes: 4 * 4096 }]);
    expect(lengths.length).toBe(1);
  });

  it('that reads slowly holds the host back', async () => {
    const host = await openFlatHost({ alpha: (24 * MIB) / 4096 });
    const connection = await connectTo(host, { session: { highWaterBytes: 1 * MIB } });
    let taken = 0;
    let goOn: () => void = () => {};
    const peeking = connection.client
      .machine('alpha')
      .peekStream([{ address: 0, lengthBytes: 24 * MIB }], async (bytes) => {
        taken += bytes.length;
        if (taken === bytes.length)
          await new Promise<void>((resolve) => {
            goOn = resolve;
          });
      });
    // Other requests are served meanwhile, and no more is on its way than was granted.
    for (let i = 0; i < 20; i++) await connection.client.machines();
    await expect.poll(() => connection.hostEnd.bufferedBytes).toBe(0);
    expect(taken).toBeLessThanOrEqual(BRIDGE_LIMITS.dataFrameBytes);
    goOn();
    expect((await peeking).lengthBytes).toBe(24 * MIB);
    expect(taken).toBe(24 * MIB);
    expect(connection.hostEnd.peakBufferedBytes).toBeLessThan(
      BRIDGE_LIMITS.clientWindowBytes + BRIDGE_LIMITS.dataFrameBytes,
    );
  });

  it('whose socket takes nothing costs the host its water mark and no more', async () => {
    const host = await openFlatHost({ alpha: (8 * MIB) / 4096 });
    const connection = await connectTo(host, { session: { highWaterBytes: 1 * MIB } });
    connection.hostEnd.hold();
    const peeks = Array.from({ length: 6 }, () =>
      connection.client.machine('alpha').peek([{ address: 0, lengthBytes: 8 * MIB }]),
    );
    await expect.poll(() => connection.session.requestCount).toBe(6);
    await expect.poll(() => connection.hostEnd.bufferedBytes).toBeGreaterThan(1 * MIB);
    expect(connection.hostEnd.peakBufferedBytes).toBeLessThan(
      1 * MIB + 8 * (BRIDGE_LIMITS.dataFrameBytes + 1024),
    );
    connection.hostEnd.release();
    for (const { bytes } of await Promise.all(peeks)) expect(bytes[0]!.length).toBe(8 * MIB);
  });

  it('can give a stream up half-way, and the session goes on', async () => {
    const host = await openFlatHost({ alpha: (24 * MIB) / 4096 });
    const connection = await connectTo(host);
    const ranges = [{ address: 0, lengthBytes: 24 * MIB }];
    const abort = new AbortController();
    await expect(
      connection.client.machine('alpha').peekStream(ranges, () => abort.abort(), { signal: abort.signal }),
    ).rejects.toMatchObject({ code: 'aborted' });
    const mine = new Error('the reader failed');
    await expect(
      connection.client.machine('alpha').peekStream(ranges, () => {
        throw mine;
      }),
    ).rejects.toBe(mine);
    await expect.poll(() => connection.session.requestCount).toBe(0);
    expect(await connection.client.machines()).toHaveLength(1);
  });

  it('does not disturb another one', async () => {
    const host = await openFlatHost({ alpha: 256, beta: 256 });
    const [a, b] = [await connectTo(host), await connectTo(host)];
    host.flat.get('alpha')!.guest.run(500);
    a.hostEnd.hold();
    const held = a.client.machine('alpha').peek([{ address: 0, lengthBytes: MIB }]);
    const first = await b.client.machine('alpha').save();
    host.flat.get('alpha')!.guest.run(500);
    await b.client.machine('alpha').restore(first.snapshot.id);
    a.hostEnd.release();
    expect((await held).bytes[0]!.length).toBe(MIB);
    a.clientEnd.cut();
    expect(await b.client.log()).toHaveLength(1);
    expect(b.session.state).toBe('open');
  });

  it('ends the connection when a host breaks the protocol', async () => {
    const wrong: FrameParts[] = [
      { type: 'response', request: 9, body: encodeBody({}) },
      { type: 'data', request: 1, body: Uint8Array.of(1) },
      { type: 'response', request: 1, body: Uint8Array.of(0xff) },
      { type: 'progress', request: 1, body: encodeBody({ phase: 'sideways' }) },
    ];
    for (const frame of wrong) {
      const [near, far] = channelPair();
      const connection = new BridgeConnection(near);
      const call = connection.call('hello', { software: 'test' });
      far.send(encodeFrame(frame));
      await expect(call).rejects.toMatchObject({ code: expect.stringMatching(/^format-/) });
      expect((await connection.closed).code).toMatch(/^format-/);
      expect(far.closeCode).toBe(1002);
    }
    const [near, far] = channelPair();
    const connection = new BridgeConnection(near);
    const call = connection.call('hello', { software: 'test' });
    far.send(creditFrame(1, BRIDGE_LIMITS.maxCreditBytes + 1));
    await expect(call).rejects.toMatchObject({ code: 'format-limit' });
  });
});

describe('permissions', () => {
  /** What each needs for the machine alpha, and a call that would do it. */
  const NEEDS: Record<
    Permission,
    (client: Awaited<ReturnType<typeof connectTo>>['client'], id: string) => Promise<unknown>
  > = {
    observe: (client) => client.machine('alpha').status(),
    peek: (client) => client.machine('alpha').peek([{ address: 0, lengthBytes: 1 }]),
    save: (client) => client.machine('alpha').save(),
    restore: (client) => client.machine('alpha').checkpoint(),
    delete: (client, id) => client.delete([id]),
    export: (client) => client.machine('alpha').status(),
    admin: (client) => client.machine('alpha').poke({ address: 0 }, Uint8Array.of(1)),
  };

  it('are each enough for their own verbs and for no others', async () => {
    const host = await openFlatHost({ alpha: 4, beta: 4 });
    for (const granted of PERMISSIONS) {
      const { client } = await connectTo(host, { grant: grantOf('someone', { alpha: [granted] }) });
      const stranger = await connectTo(host, { grant: grantOf('stranger', { beta: [granted] }) });
      for (const needed of PERMISSIONS) {
        if (needed === 'export') continue;
        const { snapshot } = await host.flat.get('alpha')!.machine.save({ full: true });
        const outcome = await NEEDS[needed](client, snapshot.id).then(
          () => 'ok',
          (error) => error.code,
        );
        // A snapshot that one may not even see is none.
        const refusal = needed === 'delete' ? 'not-found' : 'permission-denied';
        const seen = granted === 'observe' ? 'permission-denied' : refusal;
        expect([granted, needed, outcome]).toEqual([granted, needed, granted === needed ? 'ok' : seen]);
        await expect(NEEDS[needed](stranger.client, snapshot.id)).rejects.toMatchObject({ code: refusal });
      }
    }
  });

  it('of another machine are needed to restore its snapshot, or to type', async () => {
    const host = await openFlatHost({ alpha: 4, beta: 4 });
    const { snapshot } = await host.flat.get('alpha')!.machine.save();
    const { client } = await connectTo(host, {
      grant: grantOf('student', { alpha: ['observe'], beta: ['observe', 'peek', 'restore'] }),
    });
    await expect(client.machine('beta').restore(snapshot.id)).rejects.toMatchObject({
      code: 'permission-denied',
      data: { permission: 'peek', machine: 'alpha' },
    });
    // Its first digits tell nothing of it to those who may not see it.
    const other = await host.flat.get('beta')!.machine.save();
    const blind = await connectTo(host, { grant: grantOf('blind', { beta: ['observe', 'restore'] }) });
    expect((await blind.client.machine('beta').restore(other.snapshot.id)).pagesWritten).toBe(0);
    await expect(blind.client.show(snapshot.id.slice(0, 3))).rejects.toMatchObject({ code: 'not-found' });
    const port = client.machine('beta').openConsole({ onBytes: () => {} });
    await expect(port.closed).rejects.toMatchObject({ code: 'permission-denied' });
    const watching = client.machine('beta').openConsole({ onBytes: () => {}, input: false });
    watching.close();
    expect(await watching.closed).toEqual({ droppedBytes: 0 });
  });
});
