// Transfers between two engines: exact, of what is missing alone, and nothing that a hostile side sends is believed.

import { describe, expect, it } from 'vitest';
import { loadCodecs } from '../../src/codec/load.ts';
import { Digester } from '../../src/engine/digester.ts';
import type { SnapshotReceiver } from '../../src/engine/transfer.ts';
import type { Digest } from '../../src/format/digest.ts';
import { encodeManifest } from '../../src/format/manifest.ts';
import { PackWriter } from '../../src/format/pack-writer.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { Random } from '../../src/testing/random.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

/** A machine with a history of three snapshots, and what its memory held at each. */
async function history(pages = 1200) {
  const engine = await openTestEngine();
  const { guest, machine, memory } = await adoptFlat(engine, 'alpha', pages);
  memory.set(new Random(seedOfRun()).bytes(memory.length / 2));
  const ids: string[] = [];
  const images: Uint8Array[] = [];
  for (let i = 0; i < 3; i++) {
    guest.run(300);
    ids.push((await machine.save({ label: `step ${i}` })).snapshot.id);
    images.push(memory.slice());
  }
  return { engine, guest, machine, memory, ids, images };
}

function countingReceiver(receiver: SnapshotReceiver) {
  const seen = { packs: 0, bytes: 0, asked: 0 };
  return {
    seen,
    receiver: {
      ...receiver,
      missing: (digests: Uint8Array<ArrayBuffer>) => {
        seen.asked += digests.length / 32;
        return receiver.missing(digests);
      },
      putPack: (pack: Uint8Array<ArrayBuffer>) => {
        seen.packs++;
        seen.bytes += pack.length;
        return receiver.putPack(pack);
      },
    } satisfies SnapshotReceiver,
  };
}

describe('a transfer', () => {
  it('brings a snapshot that is restored there exactly', async () => {
    const source = await history();
    const target = await openTestEngine();
    const id = source.ids[2]!;
    const report = await source.engine.send(id, await target.receiver());
    expect(report).toMatchObject({ snapshot: id, wasThere: false });
    expect(report.objectsSent).toBe(report.objectsOffered);
    const { manifest: _, ...info } = await source.engine.show(id);
    expect(await target.log()).toEqual([info]);
    expect(await target.verify(id)).toMatchObject({ damaged: [] });
    const twin = await adoptFlat(target, 'twin', 1200);
    await twin.machine.restore(id);
    expectSame(twin.memory, source.images[2]!);
    expect(twin.guest.run(500)).toBe(source.guest.run(500));
  });

  it('of a later snapshot sends what changed since the one that both have', async () => {
    const source = await history();
    const target = await openTestEngine();
    await source.engine.send(source.ids[0]!, await target.receiver());
    const { receiver, seen } = countingReceiver(await target.receiver());
    const report = await source.engine.send(source.ids[2]!, receiver);
    const { regions } = await source.engine.diff(source.ids[0]!, source.ids[2]!);
    // The pages that differ, and the nodes above them; nothing else is even asked about.
    expect(seen.asked).toBeLessThan(regions[0]!.pagesChanged + 12);
    expect(report.objectsOffered).toBe(seen.asked);
    expect((await source.engine.send(source.ids[2]!, receiver)).wasThere).toBe(true);
    expect(await target.verify(source.ids[2]!)).toMatchObject({ damaged: [] });
  });

  it('sends no content that is there under another name', async () => {
    const source = await history();
    const target = await openTestEngine();
    const other = await adoptFlat(target, 'other', 1200);
    other.memory.set(source.images[2]!);
    await other.machine.save();
    const report = await source.engine.send(source.ids[2]!, await target.receiver());
    expect(report.objectsOffered).toBeGreaterThan(600);
    // The registers alone: their bytes and their table.
    expect(report.objectsSent).toBeLessThanOrEqual(3);
  });

  it('goes on where it was cut off', async () => {
    const source = await history(4096);
    const target = await openTestEngine();
    const { receiver, seen } = countingReceiver(await target.receiver());
    const abort = new AbortController();
    const cutting: SnapshotReceiver = {
      ...receiver,
      async putPack(pack) {
        await receiver.putPack(pack);
        abort.abort();
      },
    };
    const sending = source.engine.send(source.ids[0]!, cutting, { signal: abort.signal });
    await expect(sending).rejects.toMatchObject({ code: 'aborted' });
    expect(await target.log()).toEqual([]);
    const first = seen.bytes;
    seen.bytes = 0;
    await source.engine.send(source.ids[0]!, receiver);
    expect(seen.bytes).toBeGreaterThan(0);
    expect(first + seen.bytes).toBeLessThan(1.1 * source.images[0]!.length);
    expect(await target.verify(source.ids[0]!)).toMatchObject({ damaged: [] });
  });

  it('whose objects were collected meanwhile is no snapshot, and is sent again', async () => {
    const source = await history();
    const target = await openTestEngine();
    const receiver = await target.receiver();
    const collecting: SnapshotReceiver = {
      ...receiver,
      async finish(manifest) {
        await target.collect();
        return receiver.finish(manifest);
      },
    };
    await expect(source.engine.send(source.ids[0]!, collecting)).rejects.toMatchObject({
      code: 'object-missing',
    });
    expect(await target.log()).toEqual([]);
    await source.engine.send(source.ids[0]!, receiver);
    expect(await target.verify(source.ids[0]!)).toMatchObject({ damaged: [] });
  });
});

describe('a receiver', () => {
  async function forge() {
    const digester = new Digester(await loadKernels());
    const codecs = await loadCodecs();
    const writer = () => new PackWriter({ codecs, effort: 'fast', digest: digester.digest });
    return { digester, writer };
  }

  it('refuses objects that are not what they are named', async () => {
    const target = await openTestEngine();
    const receiver = await target.receiver();
    const { writer, digester } = await forge();
    const bytes = new Random(1).bytes(4096);
    const lie = writer();
    lie.addPlain({ digest: digester.digest(bytes.slice(1)), kind: 'page', bytes });
    await expect(receiver.putPack(lie.finish().bytes)).rejects.toMatchObject({ code: 'object-damaged' });
    const fill = writer();
    fill.addFill({
      digest: digester.digest(bytes),
      kind: 'page',
      lengthBytes: 4096,
      pattern: new Uint8Array(8).fill(1),
    });
    await expect(receiver.putPack(fill.finish().bytes)).rejects.toMatchObject({ code: 'object-damaged' });
    expect(await target.collect()).toMatchObject({ packsRemoved: 0 });
  });

  it('refuses deltas, whose base might be gone tomorrow', async () => {
    const receiver = await (await openTestEngine()).receiver();
    const { writer, digester } = await forge();
    const base = new Random(1).bytes(4096);
    const bytes = base.slice();
    bytes[7]! ^= 1;
    const pack = writer();
    pack.addXor({
      digest: digester.digest(bytes),
      kind: 'page',
      bytes,
      base: { digest: digester.digest(base), bytes: base, depth: 0 },
    });
    await expect(receiver.putPack(pack.finish().bytes)).rejects.toMatchObject({ code: 'format-tag' });
  });

  it('refuses a manifest of which something is missing', async () => {
    const source = await history(16);
    const target = await openTestEngine();
    const { manifest } = await source.engine.show(source.ids[0]!);
    await expect((await target.receiver()).finish(encodeManifest(manifest))).rejects.toMatchObject({
      code: 'object-missing',
    });
    expect(await target.log()).toEqual([]);
  });

  it('refuses a manifest whose nodes are all there and one of whose pages is not', async () => {
    const target = await openTestEngine();
    const receiver = await target.receiver();
    const { writer, digester } = await forge();
    const page = new Random(1).bytes(4096);
    const node = new Uint8Array(2 * 32);
    node.set(digester.digest(page), 0);
    node.set(digester.digest(page.slice(1)), 32);
    const root = digester.digest(node);
    const pack = writer();
    pack.addPlain({ digest: root, kind: 'node', bytes: node });
    pack.addPlain({ digest: digester.digest(page), kind: 'page', bytes: page });
    await receiver.putPack(pack.finish().bytes);
    const manifest = manifestOf('holed', root, 2);
    await expect(receiver.finish(manifest)).rejects.toMatchObject({ code: 'object-missing' });
    expect(await target.log()).toEqual([]);
  });

  it('takes no pack with a flipped bit', async () => {
    const source = await history(64);
    const store = openMemoryStore();
    const target = await openTestEngine(store);
    const receiver = await target.receiver();
    const packs: Uint8Array<ArrayBuffer>[] = [];
    await source.engine.send(source.ids[0]!, {
      ...receiver,
      missing: async (digests) => Array.from({ length: digests.length / 32 }, () => true),
      putPack: async (pack) => void packs.push(pack),
      finish: async () => undefined,
    });
    const random = new Random(seedOfRun());
    const codes = new Set<string>();
    for (let round = 0; round < 300; round++) {
      const pack = random.pick(packs).slice();
      pack[random.below(pack.length)]! ^= 1 << random.below(8);
      const code = await receiver.putPack(pack).then(
        () => 'taken',
        (error) => error.code,
      );
      codes.add(code);
    }
    for (const code of codes) expect(code).toMatch(/^(format-|codec-|object-damaged)/);
  });

  it('does not follow a tree that names itself', async () => {
    const target = await openTestEngine();
    const receiver = await target.receiver();
    const { writer, digester } = await forge();
    // Each level's node names the level below 512 times: 512^5 pages of one content.
    const pack = writer();
    const page = new Uint8Array(4096).fill(9);
    let digest: Digest = digester.digest(page);
    pack.addPlain({ digest, kind: 'page', bytes: page });
    for (let level = 0; level < 4; level++) {
      const node = new Uint8Array(512 * 32);
      for (let at = 0; at < node.length; at += 32) node.set(digest, at);
      digest = digester.digest(node);
      pack.addPlain({ digest, kind: 'node', bytes: node });
    }
    await receiver.putPack(pack.finish().bytes);
    const manifest = manifestOf('bomb', digest, 512 ** 4);
    const { memoryBytes } = (await receiver.finish(manifest)) as { memoryBytes: number };
    expect(memoryBytes).toBe(512 ** 4 * 4096);
  });
});

/** The manifest of a machine with one region of so many pages. */
function manifestOf(name: string, root: Digest, pageCount: number): Uint8Array<ArrayBuffer> {
  const sizeBytes = pageCount * 4096;
  return encodeManifest({
    machine: { kind: 'forged', version: '1', architecture: 'none', config: {} },
    name,
    label: '',
    createdAtMs: 0,
    parent: null,
    regions: [{ name: 'ram', kind: 'ram', guestAddress: 0, sizeBytes, pageBytes: 4096, root }],
    devices: [],
    statistics: { pagesScanned: 0, pagesChanged: 0, objectsNew: 0, bytesWritten: 0, pauseMs: 0 },
  });
}
