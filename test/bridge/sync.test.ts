// Sync over bridges, in every direction: only what is missing goes, and what arrives is exact.

import { describe, expect, it } from 'vitest';
import type { OwnedBytes } from '../../src/base/bytes.ts';
import { grantOf } from '../../src/bridge/grant.ts';
import { sync } from '../../src/bridge/sync.ts';
import { Random } from '../../src/testing/random.ts';
import { piecesOf } from '../support/channel-pair.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';
import { openFlatHost } from './bridge-host.ts';
import { connectTo } from './connect.ts';

async function busyHost(pages = 600) {
  const host = await openFlatHost({ alpha: pages });
  const { guest, memory, machine } = host.flat.get('alpha')!;
  memory.set(new Random(seedOfRun()).bytes(memory.length / 2));
  guest.run(200);
  const first = (await machine.save()).snapshot;
  guest.run(200);
  const second = (await machine.save()).snapshot;
  return { host, first, second, image: memory.slice() };
}

describe('sync', () => {
  it.each([false, true])(
    'brings a snapshot from a host, and a later one by its differences, messages lent: %s',
    async (lends) => {
      const { host, first, second, image } = await busyHost();
      const { client } = await connectTo(host, {
        pair: { cut: (message: OwnedBytes) => piecesOf(message, 5000), lends },
      });
      const local = await openTestEngine();
      const whole = await sync(client, local, first.id);
      expect(whole.objectsSent).toBe(whole.objectsOffered);
      const rest = await sync(client, local, second.id.slice(0, 16));
      expect(rest.objectsSent).toBeLessThan(whole.objectsSent / 2);
      expect(await sync(client, local, second.id)).toMatchObject({ wasThere: true, bytesSent: 0 });
      const twin = await adoptFlat(local, 'twin', 600);
      await twin.machine.restore(second.id);
      expectSame(twin.memory, image);
      expect(await local.diff(first.id, second.id)).toEqual(await host.engine.diff(first.id, second.id));
    },
  );

  it('brings a snapshot to a host', async () => {
    const { host: source, second } = await busyHost();
    const target = await openFlatHost({});
    const { client } = await connectTo(target);
    await sync(source.engine, client, second.id);
    expect(await client.verify(second.id)).toMatchObject({ damagedCount: 0 });
    expect(await client.log()).toEqual(await source.engine.log().then((all) => all.slice(1)));
    expect((await sync(source.engine, client, second.id)).wasThere).toBe(true);
  });

  it('brings a snapshot from host to host through a client', async () => {
    const { host, second } = await busyHost();
    const target = await openFlatHost({});
    const from = await connectTo(host);
    const to = await connectTo(target);
    const report = await sync(from.client, to.client, second.id);
    expect(report.objectsSent).toBeGreaterThan(300);
    expect(await target.engine.verify(second.id)).toMatchObject({ damaged: [] });
  });

  it('fails on both sides when a connection is lost, and goes on later', async () => {
    const { host, second } = await busyHost(4096);
    const connection = await connectTo(host);
    const local = await openTestEngine();
    const receiver = await local.receiver();
    let packs = 0;
    const cut = {
      receive: <T>(_: string, work: (given: typeof receiver) => Promise<T>) =>
        work({
          ...receiver,
          async putPack(pack) {
            await receiver.putPack(pack);
            if (++packs === 1) connection.clientEnd.cut();
          },
        }),
    };
    await expect(sync(connection.client, cut, second.id)).rejects.toMatchObject({ code: 'connection-lost' });
    await expect.poll(() => connection.client.state.kind).toBe('open');
    expect(await local.log()).toEqual([]);
    const report = await sync(connection.client, local, second.id);
    expect(report.objectsSent).toBeLessThan(report.objectsOffered);
    expect(await local.verify(second.id)).toMatchObject({ damaged: [] });
  });

  it('tells the error of whichever side failed, and leaves the session open', async () => {
    const { host, second } = await busyHost();
    const connection = await connectTo(host);
    const local = await openTestEngine();
    const full = new Error('my disk is full');
    const failing = {
      receive: async <T>(
        _: string,
        work: (receiver: Awaited<ReturnType<typeof local.receiver>>) => Promise<T>,
      ) =>
        work({
          ...(await local.receiver()),
          putPack: async () => {
            throw full;
          },
        }),
    };
    await expect(sync(connection.client, failing, second.id)).rejects.toBe(full);
    const target = await connectTo({
      ...(await openFlatHost({})),
    });
    await expect(
      target.client.receive('beta', (receiver) => host.engine.send(second.id, receiver)),
    ).rejects.toMatchObject({ code: 'argument-invalid' });
    for (const { client, session } of [connection, target]) {
      await expect.poll(() => session.requestCount).toBe(0);
      expect(session.state).toBe('open');
      await client.machines();
    }
  });

  it('takes the permission to export, and to save', async () => {
    const { host, second } = await busyHost(16);
    const local = await openTestEngine();
    const peeker = await connectTo(host, { grant: grantOf('peeker', { alpha: ['observe', 'peek'] }) });
    await expect(sync(peeker.client, local, second.id)).rejects.toMatchObject({ code: 'permission-denied' });
    const exporter = await connectTo(host, { grant: grantOf('exporter', { alpha: ['observe', 'export'] }) });
    await sync(exporter.client, local, second.id);
    await expect(sync(local, exporter.client, second.id)).rejects.toMatchObject({
      code: 'permission-denied',
    });
  });
});
