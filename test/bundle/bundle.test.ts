// Snapshots as files: out of engines and bridges and back, exact; and files that are no bundles leave no trace.

import { describe, expect, it } from 'vitest';
import { concatBytes, type OwnedBytes } from '../../src/base/bytes.ts';
import type { VitrineError } from '../../src/base/error.ts';
import { sync } from '../../src/bridge/sync.ts';
import { bundleTarget } from '../../src/bundle/bundle-target.ts';
import { openBundle } from '../../src/bundle/open-bundle.ts';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import {
  encodeBundleEnd,
  encodeBundleOpening,
  encodeBundlePack,
  readBundle,
} from '../../src/format/bundle.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { Random } from '../../src/testing/random.ts';
import { openFlatHost } from '../bridge/bridge-host.ts';
import { connectTo } from '../bridge/connect.ts';
import { piecesOf } from '../support/channel-pair.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

/** An engine with two snapshots of one machine, half of whose memory is noise. */
async function busyEngine(pages: number) {
  const engine = await openTestEngine();
  const { guest, machine, memory } = await adoptFlat(engine, 'alpha', pages);
  memory.set(new Random(seedOfRun()).bytes(memory.length / 2));
  guest.run(100);
  const first = (await machine.save({ label: 'before' })).snapshot;
  guest.run(100);
  const second = (await machine.save({ label: 'after' })).snapshot;
  return { engine, first, second, image: memory.slice() };
}

async function bundleOf(source: Parameters<typeof sync>[0], snapshot: string): Promise<OwnedBytes> {
  const parts: OwnedBytes[] = [];
  await sync(
    source,
    bundleTarget(async (bytes) => void parts.push(bytes.slice())),
    snapshot,
    { effort: 'balanced' },
  );
  return concatBytes(parts);
}

async function* inPieces(file: OwnedBytes, pieceBytes: number): AsyncGenerator<OwnedBytes> {
  yield* piecesOf(file, pieceBytes);
}

const reading = (file: OwnedBytes, pieceBytes = 65_536) => openBundle(() => inPieces(file, pieceBytes));

async function importInto(engine: Parameters<typeof sync>[1], file: OwnedBytes, pieceBytes?: number) {
  const bundle = await reading(file, pieceBytes);
  return sync(bundle, engine, bundle.info.id);
}

async function expectImage(engine: Vitrine, snapshot: string, image: Uint8Array<ArrayBuffer>): Promise<void> {
  const twin = await adoptFlat(engine, `twin-${snapshot.slice(0, 8)}`, image.length / 4096);
  await twin.machine.restore(snapshot);
  expectSame(twin.memory, image);
}

describe('a bundle', () => {
  it('holds all that a snapshot stands on, and says what it is', async () => {
    // Several packs: noise of 6 MiB.
    const { engine, second, image } = await busyEngine(3_072);
    const file = await bundleOf(engine, second.id.slice(0, 12));
    const bundle = await reading(file);
    expect(bundle.info).toEqual(second);
    expect(bundle.sizeBytes).toBe(file.length);
    let packs = 0;
    for await (const { kind } of readBundle(inPieces(file, 100_000))) packs += kind === 'pack' ? 1 : 0;
    expect(packs).toBeGreaterThan(1);
    const target = await openTestEngine();
    const report = await importInto(target, file);
    expect(report).toMatchObject({ snapshot: second.id, wasThere: false });
    await expectImage(target, second.id, image);
    expect((await target.verify(second.id)).damaged).toEqual([]);
    expect(await importInto(target, file)).toMatchObject({ wasThere: true, bytesSent: 0 });
  });

  it('goes out of a bridge and into another one, byte by byte', async () => {
    const host = await openFlatHost({ alpha: 16 });
    host.flat.get('alpha')!.guest.run(100);
    const { snapshot } = await host.flat.get('alpha')!.machine.save();
    const file = await bundleOf((await connectTo(host)).client, snapshot.id);
    const target = await openFlatHost({});
    const { client } = await connectTo(target);
    await importInto(client, file, 1);
    expect(await client.verify(snapshot.id)).toMatchObject({ damagedCount: 0 });
    await expectImage(target.engine, snapshot.id, host.flat.get('alpha')!.memory);
  });

  it('brings nothing of what is there already', async () => {
    const engine = await openTestEngine();
    const { guest, machine, memory } = await adoptFlat(engine, 'alpha', 3_072);
    memory.set(new Random(seedOfRun()).bytes(memory.length / 2));
    const first = (await machine.save()).snapshot;
    guest.write(0, memory.length - 100, Uint8Array.of(1, 2, 3));
    const second = (await machine.save()).snapshot;
    const target = await openTestEngine();
    const whole = await importInto(target, await bundleOf(engine, first.id));
    const rest = await importInto(target, await bundleOf(engine, second.id));
    expect(whole.objectsSent).toBe(whole.objectsOffered);
    // Packs of which it has everything.
    expect(rest.bytesSent).toBeLessThan(whole.bytesSent / 2);
    expect((await target.verify(second.id)).damaged).toEqual([]);
  });

  it('is given up when told to', async () => {
    const { engine, second } = await busyEngine(16);
    const file = await bundleOf(engine, second.id);
    const signal = AbortSignal.abort();
    await expect(openBundle(() => inPieces(file, 1024), { signal })).rejects.toMatchObject({
      code: 'aborted',
    });
    const bundle = await reading(file);
    const target = await openTestEngine();
    await expect(sync(bundle, target, '', { signal })).rejects.toMatchObject({ code: 'aborted' });
    expect(await target.log()).toEqual([]);
  });
});

describe('a file that is no bundle', () => {
  const formatError = expect.objectContaining({ code: expect.stringMatching(/^format-/) }) as VitrineError;

  async function small() {
    const { engine, second } = await busyEngine(2);
    return { file: await bundleOf(engine, second.id), id: second.id };
  }

  /** Imports a file that must be refused as it is read, into a store that must not hear of it. */
  async function refused(file: OwnedBytes): Promise<VitrineError> {
    const store = openMemoryStore();
    const target = await openTestEngine(store);
    const before = await store.list('');
    const error = await importInto(target, file).then(
      () => undefined,
      (reason: VitrineError) => reason,
    );
    expect(await store.list('')).toEqual(before);
    if (error === undefined) throw new Error('it was taken for a bundle');
    return error;
  }

  it('is refused wherever it was cut off', async () => {
    const { file } = await small();
    for (let length = 0; length < file.length; length += length < 64 ? 1 : 61) {
      expect(await refused(file.slice(0, length))).toEqual(formatError);
    }
    expect(await refused(file.slice(0, -1))).toMatchObject({ code: 'format-truncated' });
    expect(await refused(concatBytes([file, new Uint8Array(1)]))).toMatchObject({ code: 'format-range' });
  });

  it('is refused whichever bit was flipped', async () => {
    const { file } = await small();
    const random = new Random(seedOfRun());
    const places = Array.from({ length: 200 }, () => random.below(file.length));
    for (const at of [...Array(30).keys(), ...places, file.length - 1]) {
      const flipped = file.slice();
      flipped[at]! ^= 1 << random.below(8);
      expect(await refused(flipped), `byte ${at} of ${file.length}`).toEqual(formatError);
    }
  });

  it('is refused when it is something else', async () => {
    expect(await refused(new Uint8Array(0))).toMatchObject({ code: 'format-truncated' });
    expect(await refused(new TextEncoder().encode('<!doctype html><p>Not found</p>'))).toMatchObject({
      code: 'format-magic',
    });
    const { file } = await small();
    const later = file.slice();
    later[8] = 2;
    expect(await refused(later)).toMatchObject({ code: 'format-version' });
  });

  it('is no snapshot when it lacks a pack or holds another one', async () => {
    const { engine, second } = await busyEngine(3_072);
    const packs: OwnedBytes[] = [];
    let manifest: OwnedBytes = new Uint8Array(0);
    for await (const record of readBundle(inPieces(await bundleOf(engine, second.id), 65_536))) {
      if (record.kind === 'pack') packs.push(record.pack);
      else manifest = record.manifest;
    }
    const made = (some: readonly OwnedBytes[], count = some.length): OwnedBytes =>
      concatBytes([
        encodeBundleOpening(),
        ...some.flatMap((pack) => encodeBundlePack(pack)),
        ...encodeBundleEnd(count, manifest),
      ]);
    // Cut out whole: its checksums are right.
    expect(await refused(made(packs.slice(1), packs.length))).toMatchObject({ code: 'format-range' });
    // By somebody who knows the format: found when the objects are proven.
    const target = await openTestEngine();
    await expect(importInto(target, made(packs.slice(1)))).rejects.toMatchObject({ code: 'object-missing' });
    const forged = packs[0]!.slice();
    forged[20]! ^= 1;
    const lies = expect.stringMatching(/^(object-damaged|format-checksum)$/);
    await expect(importInto(target, made([forged, ...packs.slice(1)]))).rejects.toMatchObject({ code: lies });
    expect(await target.log()).toEqual([]);
    // What had come stays, and the right file is still taken.
    await importInto(target, made(packs));
    expect((await target.verify(second.id)).damaged).toEqual([]);
  });
});
