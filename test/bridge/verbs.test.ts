// Every verb from a client to a real engine and back, over channels that cut messages anyhow.

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { OwnedBytes } from '../../src/base/bytes.ts';
import { toHex } from '../../src/base/bytes.ts';
import { isVitrineError } from '../../src/base/error.ts';
import { MIB } from '../../src/base/limits.ts';
import type { Progress } from '../../src/base/work.ts';
import { grantOf, PERMISSIONS } from '../../src/bridge/grant.ts';
import type { RemoteGuest } from '../../src/bridge/remote-guest.ts';
import type { SaveReport } from '../../src/engine/save.ts';
import { encodeManifest } from '../../src/format/manifest.ts';
import { openFileSpool } from '../../src/host/bridge/file-spool.ts';
import { piecesOf } from '../support/channel-pair.ts';
import { expectSame } from '../support/same.ts';
import { openFlatHost } from './bridge-host.ts';
import { connectTo } from './connect.ts';

const text = (bytes: Uint8Array<ArrayBuffer>) => new TextDecoder().decode(bytes);
const bytesOf = (string: string): OwnedBytes => new TextEncoder().encode(string);

for (const [cut, pair] of [
  ['whole messages', {}],
  ['pieces of 700 bytes', { cut: (message: OwnedBytes) => piecesOf(message, 700) }],
] as const) {
  describe(`verbs over ${cut}`, () => {
    it('list and describe machines', async () => {
      const { client } = await connectTo(await openFlatHost({ alpha: 4, beta: 8 }), { pair });
      expect(await client.machines()).toMatchObject([
        { name: 'alpha', state: 'running', base: null, hasConsole: true },
        { name: 'beta', permissions: ['observe', 'peek', 'save', 'restore', 'delete', 'export', 'admin'] },
      ]);
      expect(await client.machine('beta').status()).toMatchObject({
        name: 'beta',
        head: null,
        description: {
          kind: 'flat',
          tier: 'scan',
          regions: [{ name: 'ram', kind: 'ram', guestAddress: 0, sizeBytes: 8 * 4096, pageBytes: 4096 }],
        },
        facts: { steps: 0 },
      });
    });

    it('save, restore, compare, list and delete', async () => {
      const host = await openFlatHost({ alpha: 64 });
      const { client } = await connectTo(host, { pair });
      const alpha = client.machine('alpha');
      const { guest, memory } = host.flat.get('alpha')!;
      guest.run(1000);
      const progress: Progress[] = [];
      const first = await alpha.save({ label: 'erste ä', onProgress: (one) => progress.push(one) });
      const then = memory.slice();
      const expected = guest.run(500);
      expect(first.snapshot).toMatchObject({ machine: 'alpha', label: 'erste ä', parent: null });
      expect(progress.at(-1)).toMatchObject({ phase: 'commit', done: 1 });
      const second = await alpha.save({ live: {}, effort: 'small', freePages: 'keep' });
      expect(second.live?.mode).toBe('stopped');
      expect(second.snapshot.parent).toBe(first.snapshot.id);
      expect((await client.log()).map(({ id }) => id)).toEqual([first.snapshot.id, second.snapshot.id]);
      expect(await client.log({ machine: 'nobody' })).toEqual([]);
      const local = await host.engine.diff(first.snapshot.id, second.snapshot.id);
      expect(await client.diff(first.snapshot.id, second.snapshot.id)).toEqual(local);
      expect(local.regions[0]!.pagesChanged).toBeGreaterThan(0);

      const restored = await alpha.restore(first.snapshot.id.slice(0, 12));
      expect(restored.pagesWritten).toBe(local.regions[0]!.pagesChanged);
      expectSame(memory, then);
      expect(guest.run(500)).toBe(expected);
      expect(await alpha.diff()).toEqual({ ...local, devices: [] });
      expect(await client.head('alpha')).toBe(first.snapshot.id);
      expect(await alpha.base()).toBe(first.snapshot.id);

      expect(await client.verify(second.snapshot.id)).toMatchObject({ damagedCount: 0, damaged: [] });
      await client.delete([second.snapshot.id]);
      expect(await client.collect()).toMatchObject({ manifestsRemoved: 1 });
      await expect(client.show(second.snapshot.id)).rejects.toMatchObject({ code: 'not-found' });
    });

    it('show a manifest whose digest is the id', async () => {
      const host = await openFlatHost({ alpha: 4 });
      const { client } = await connectTo(host, { pair });
      const { snapshot } = await client.machine('alpha').save();
      const shown = await client.show(snapshot.id);
      expect(shown).toMatchObject(snapshot);
      expect(shown.manifest).toEqual((await host.engine.show(snapshot.id)).manifest);
      expect(encodeManifest(shown.manifest).length).toBeGreaterThan(100);
    });

    it('checkpoint, reset and forget', async () => {
      const host = await openFlatHost({ alpha: 16 });
      const { client } = await connectTo(host, { pair });
      const alpha = client.machine('alpha');
      const { guest, memory } = host.flat.get('alpha')!;
      await expect(alpha.reset()).rejects.toMatchObject({ code: 'wrong-state' });
      guest.run(100);
      const then = memory.slice();
      await alpha.checkpoint();
      guest.run(100);
      expect((await alpha.reset()).pagesWritten).toBeGreaterThan(0);
      expectSame(memory, then);
      await alpha.dropCheckpoint();
      await expect(alpha.reset()).rejects.toMatchObject({ code: 'wrong-state' });
    });

    it('fork a machine that goes on as the first one did', async () => {
      const host = await openFlatHost({ alpha: 16 });
      const { client } = await connectTo(host, { pair });
      host.flat.get('alpha')!.guest.run(100);
      const { snapshot } = await client.machine('alpha').save();
      const twin = await client.fork(snapshot.id, 'twin');
      expect(twin.name).toBe('twin');
      expect(host.flat.get('twin')!.guest.run(300)).toBe(host.flat.get('alpha')!.guest.run(300));
      await expect(client.fork(snapshot.id, 'twin')).rejects.toMatchObject({ code: 'argument-invalid' });
    });

    it('peek ranges in the order asked for, live and stored', async () => {
      const host = await openFlatHost({ alpha: 512 });
      const { client } = await connectTo(host, { pair });
      const { guest, memory } = host.flat.get('alpha')!;
      for (let i = 0; i < memory.length; i++) memory[i] = (i * 7 + (i >> 8)) & 0xff;
      const ranges = [
        { address: 5000, lengthBytes: 3 },
        { region: 'ram', offsetBytes: 0, lengthBytes: memory.length },
        { address: memory.length - 1, lengthBytes: 1 },
        { address: 4090, lengthBytes: 700_000 },
      ];
      const slices = [
        memory.slice(5000, 5003),
        memory.slice(),
        memory.slice(-1),
        memory.slice(4090, 704_090),
      ];
      const live = await client.machine('alpha').peek(ranges);
      expect(live).toMatchObject({ consistency: 'instant', source: 'copy' });
      expect(live.pauseMs).toBeGreaterThanOrEqual(0);
      expectAllSame(live.bytes, slices);
      const { snapshot } = await client.machine('alpha').save();
      guest.run(5000);
      expectAllSame(await client.peek(snapshot.id, ranges), slices);
      await expect(
        client.machine('alpha').peek([{ address: 0, lengthBytes: memory.length + 1 }]),
      ).rejects.toMatchObject({ code: 'span-out-of-range' });
      await expect(
        client.machine('alpha').peek([{ virtualAddress: 0, lengthBytes: 1 }]),
      ).rejects.toMatchObject({ code: 'unsupported' });
    });

    it('poke, pause and resume', async () => {
      const host = await openFlatHost({ alpha: 4 });
      const { client } = await connectTo(host, { pair });
      const alpha = client.machine('alpha');
      await alpha.poke({ address: 4097 }, bytesOf('poked'));
      expect((await alpha.peek([{ address: 4097, lengthBytes: 5 }])).bytes).toEqual([bytesOf('poked')]);
      await alpha.pause();
      expect((await alpha.status()).state).toBe('paused');
      await alpha.save();
      expect((await alpha.status()).state).toBe('paused');
      await alpha.resume();
      expect((await alpha.status()).state).toBe('running');
      await expect(alpha.stop()).rejects.toMatchObject({ code: 'unsupported' });
      await expect(client.attach('b', 'socket')).rejects.toMatchObject({ code: 'unsupported' });
      await expect(client.run({ name: 'b' })).rejects.toMatchObject({ code: 'unsupported' });
      await expect(alpha.restore('0'.repeat(64))).rejects.toMatchObject({ code: 'not-found' });
    });

    it('carry a console both ways', async () => {
      const host = await openFlatHost({ alpha: 4 });
      const { client } = await connectTo(host, { pair });
      let said = '';
      const port = client.machine('alpha').openConsole({
        onBytes: (bytes) => {
          said += text(bytes);
        },
      });
      await expect.poll(() => said).toBe('ready\n');
      port.write(bytesOf('hello, '));
      port.write(bytesOf('world'));
      await expect.poll(() => said).toBe('ready\nHELLO, WORLD');
      port.close();
      expect(await port.closed).toEqual({ droppedBytes: 0 });
    });
  });
}

describe('a long peek', () => {
  it('is of one instant though the guest writes while it is streamed, and of any length', async () => {
    const pages = (66 * MIB) / 4096;
    const host = await openFlatHost({ alpha: pages });
    const { client } = await connectTo(host);
    const { guest, memory } = host.flat.get('alpha')!;
    for (let at = 0; at < memory.length; at += 4096) memory[at] = at >> 12;
    // What is written between a save and the peek is told from the save still.
    await client.machine('alpha').save();
    guest.run(500);
    const then = memory.slice();
    let at = 0;
    let wrong = 0;
    const answer = await client
      .machine('alpha')
      .peekStream([{ address: 0, lengthBytes: memory.length }], (bytes) => {
        if (!equalAt(then, at, bytes)) wrong++;
        at += bytes.length;
        guest.run(50);
      });
    expect(answer).toMatchObject({ source: 'mirror', lengthBytes: memory.length });
    expect([at, wrong]).toEqual([memory.length, 0]);
    expect(equalAt(then, 0, memory)).toBe(false);
    // What was written meanwhile is in the next save.
    const { snapshot } = await client.machine('alpha').save();
    const now = memory.slice();
    guest.run(1000);
    await client.machine('alpha').restore(snapshot.id);
    expect(equalAt(now, 0, memory)).toBe(true);
  });

  it('waits for a slow reader in a file, and the machine is saved and restored meanwhile', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-long-peek-'));
    try {
      const flat = await openFlatHost({ alpha: (80 * MIB) / 4096 });
      const { client } = await connectTo({ ...flat, openSpool: () => openFileSpool(folder) });
      const { guest, memory } = flat.flat.get('alpha')!;
      for (let at = 0; at < memory.length; at += 4096) memory[at] = at >> 12;
      guest.run(500);
      const then = memory.slice();
      let goOn = (): void => {};
      const held = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      let begin = (): void => {};
      const begun = new Promise<void>((resolve) => {
        begin = resolve;
      });
      let at = 0;
      let wrong = 0;
      const peeking = client
        .machine('alpha')
        .peekStream([{ address: 0, lengthBytes: memory.length }], async (bytes) => {
          begin();
          await held;
          if (!equalAt(then, at, bytes)) wrong++;
          at += bytes.length;
        });
      await begun;
      // The reader takes nothing.
      const saved = await savedWhenFree(client.machine('alpha'));
      guest.run(1000);
      await client.machine('alpha').restore(saved.snapshot.id);
      expect(at).toBe(0);
      goOn();
      expect(await peeking).toMatchObject({ source: 'mirror', lengthBytes: memory.length });
      expect([at, wrong]).toEqual([memory.length, 0]);
      // Nothing is left of it, and nobody could have opened it.
      expect(await readdir(folder)).toEqual([]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('of 16 MiB is of one instant while the guest writes', async () => {
    const host = await openFlatHost({ alpha: (16 * MIB) / 4096 });
    const { client } = await connectTo(host);
    const { guest, memory } = host.flat.get('alpha')!;
    // Two ends that are always written together: a peek of two instants tears them apart.
    let count = 0;
    const write = (): void => {
      count++;
      const bytes = Uint8Array.of(count & 0xff, count >> 8);
      guest.write(0, 0, bytes);
      guest.write(0, memory.length - 2, bytes);
    };
    const writing = setInterval(write, 0);
    try {
      for (let round = 0; round < 3; round++) {
        const { bytes } = await client.machine('alpha').peek([{ address: 0, lengthBytes: memory.length }]);
        expect(toHex(bytes[0]!.slice(0, 2))).toBe(toHex(bytes[0]!.slice(-2)));
      }
    } finally {
      clearInterval(writing);
    }
    expect(count).toBeGreaterThan(0);
  });
});

function expectAllSame(found: readonly Uint8Array[], wanted: readonly Uint8Array[]): void {
  expect(found.length).toBe(wanted.length);
  for (const [index, bytes] of found.entries()) expectSame(bytes, wanted[index]!);
}

/** Tries until nothing else is under way. */
async function savedWhenFree(machine: RemoteGuest): Promise<SaveReport> {
  for (;;) {
    try {
      return await machine.save();
    } catch (error) {
      if (!isVitrineError(error, 'busy')) throw error;
    }
  }
}

function equalAt(whole: Uint8Array, at: number, part: Uint8Array): boolean {
  return Buffer.compare(whole.subarray(at, at + part.length), part) === 0;
}

describe('run', () => {
  it('is of the host’s owner, but for profiles and machines that were made before', async () => {
    const asked: unknown[] = [];
    const flat = await openFlatHost({ known: 4 });
    const stopped = { name: 'known', state: 'stopped', machine: null } as const;
    const host = {
      ...flat,
      profiles: ['lab'],
      machines: () => [stopped],
      machine: (name: string) => (name === 'known' ? stopped : undefined),
      run: async (request: unknown) => {
        asked.push(request);
        return stopped;
      },
    };
    const { client: owner } = await connectTo(host);
    expect(owner.host).toMatchObject({ runs: true, profiles: ['lab'], permissions: PERMISSIONS });
    await owner.run({ name: 'new', arguments: ['-S'] });
    const grant = grantOf('student', { mine: ['admin'], known: ['admin'] });
    const { client: student } = await connectTo(host, { grant });
    expect(student.host).toMatchObject({ permissions: [] });
    await student.run({ name: 'mine', profile: 'lab' });
    await student.run({ name: 'known' });
    expect(asked).toHaveLength(3);
    for (const request of [
      { name: 'mine' },
      { name: 'yours', profile: 'lab' },
      { name: 'mine', profile: 'lab', arguments: ['-monitor', 'stdio'] },
      { name: 'mine', profile: 'lab', arguments: [] },
      { name: 'known', memoryBytes: 1 << 20 },
      { name: 'known', doorbell: ['save' as const] },
    ]) {
      await expect(student.run(request)).rejects.toMatchObject({ code: 'permission-denied' });
    }
    expect(asked).toHaveLength(3);
  });
});
