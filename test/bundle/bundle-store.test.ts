// A bundle as a store that is only read.

import { describe, expect, it } from 'vitest';
import { concatBytes, type OwnedBytes } from '../../src/base/bytes.ts';
import { isVitrineError } from '../../src/base/error.ts';
import { sync } from '../../src/bridge/sync.ts';
import { openBundleStore } from '../../src/bundle/bundle-store.ts';
import { bundleTarget } from '../../src/bundle/bundle-target.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import { piecesOf } from '../support/channel-pair.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGE_BYTES = 4096;

/** A bundle of several packs, and what its snapshot holds. */
async function bundleOf(pages: number) {
  const engine = await openTestEngine();
  const { guest, machine, memory } = await adoptFlat(engine, 'alpha', pages);
  memory.set(new Random(seedOfRun()).bytes(memory.length - 8 * PAGE_BYTES));
  guest.run(100);
  await machine.save();
  guest.run(100);
  const { snapshot } = await machine.save({ label: 'packed' });
  const parts: OwnedBytes[] = [];
  await sync(
    engine,
    bundleTarget(async (bytes) => void parts.push(bytes.slice())),
    snapshot.id,
    { effort: 'fast' },
  );
  return { bytes: concatBytes(parts), image: memory.slice(), id: snapshot.id };
}

/** A file in memory, which may change behind its reader. */
function fileOf(bytes: OwnedBytes) {
  const file = {
    bytes,
    closed: 0,
    read: async function* () {
      yield* piecesOf(file.bytes, 65_536);
    },
    readRange: async ({ offsetBytes, lengthBytes }: { offsetBytes: number; lengthBytes: number }) =>
      file.bytes.slice(offsetBytes, offsetBytes + lengthBytes),
    close: async () => void file.closed++,
  };
  return file;
}

describe('a bundle that is looked into', () => {
  it('holds its snapshot, exact, and hardly any of its bytes in memory', async () => {
    const { bytes, image, id } = await bundleOf(2100);
    const file = fileOf(bytes);
    const store = await openBundleStore(file);
    expect((await store.list('packs/')).length).toBeGreaterThan(1);
    const engine = await openTestEngine(store);
    expect(await engine.log()).toMatchObject([{ id, label: 'packed' }]);
    const ranges = [{ region: 'ram', offsetBytes: 0, lengthBytes: image.length }];
    const [held] = await engine.peek(id, ranges);
    expectSame(held!, image);
    expect((await engine.verify(id)).damaged).toEqual([]);
    // It goes on from there into a store that takes it.
    const other = await openTestEngine(openMemoryStore());
    await sync(engine, other, id);
    expect((await other.log()).map((one) => one.id)).toEqual([id]);
    await engine.close();
    await store.close();
    expect(file.closed).toBe(1);
    expect(await codeOf(() => store.list(''))).toBe('store-closed');
  });

  it('takes nothing', async () => {
    const { bytes, id } = await bundleOf(40);
    const store = await openBundleStore(fileOf(bytes));
    const engine = await openTestEngine(store);
    expect(await codeOf(() => engine.delete([id]))).toBe('unsupported');
    expect(await codeOf(() => engine.collect())).toBe('unsupported');
    const { machine } = await adoptFlat(engine, 'beta', 4);
    expect(await codeOf(() => machine.save())).toBe('unsupported');
    expect(await codeOf(() => store.put('no key', new Uint8Array(1)))).toBe('store-key-invalid');
    expect((await engine.log()).map((one) => one.id)).toEqual([id]);
  });

  it('is refused, and closed, where it is cut off or flipped anywhere', async () => {
    const { bytes } = await bundleOf(20);
    const random = new Random(seedOfRun());
    for (let round = 0; round < 60; round++) {
      const broken = round % 2 === 0 ? bytes.slice(0, random.below(bytes.length)) : bytes.slice();
      if (round % 2 === 1) broken[random.below(broken.length)]! ^= 1 << random.below(8);
      const file = fileOf(broken);
      expect(await codeOf(() => openBundleStore(file))).toMatch(/^format-/);
      expect(file.closed).toBe(1);
    }
  });

  it('that changes after it was opened gives what it held, or an error', async () => {
    const { bytes, image, id } = await bundleOf(40);
    const random = new Random(seedOfRun());
    for (let round = 0; round < 30; round++) {
      const file = fileOf(bytes.slice());
      const engine = await openTestEngine(await openBundleStore(file));
      if (round % 2 === 0) file.bytes = bytes.slice(0, random.below(bytes.length));
      else file.bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      try {
        const [held] = await engine.peek(id, [{ region: 'ram', offsetBytes: 0, lengthBytes: image.length }]);
        expectSame(held!, image);
      } catch (error) {
        if (!isVitrineError(error)) throw error;
        expect(error.code).toMatch(/^(format|object)-/);
      }
    }
  });
});
