// The golden bundle of version 1: written as it stands there, read as it was meant by us and by a reader that shares no code with us, and
// refused by both wherever it is cut off or flipped. Old files stay readable.
//
// `WRITE_FIXTURES=1` writes it where it is not there yet. It is never written over.

import { describe, expect, it } from 'vitest';
import { concatBytes, type OwnedBytes } from '../../src/base/bytes.ts';
import { isVitrineError } from '../../src/base/error.ts';
import { sync } from '../../src/bridge/sync.ts';
import { bundleTarget } from '../../src/bundle/bundle-target.ts';
import { openBundle } from '../../src/bundle/open-bundle.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { encodeBundleEnd, encodeBundleOpening, encodeBundlePack } from '../../src/format/bundle.ts';
import { encodeManifest } from '../../src/format/index.ts';
import { Random } from '../../src/testing/random.ts';
import { annotateBundle } from '../fixtures/annotate.ts';
import {
  BUNDLE_MANIFEST,
  BUNDLE_PACKS,
  BUNDLE_RAM,
  BUNDLE_RAM_BYTES,
  BUNDLE_REGISTERS,
} from '../fixtures/format-v1/bundle-sample.ts';
import { digest, writeSample } from '../fixtures/format-v1/samples.ts';
import { readHexFile, writeHexFile } from '../fixtures/hex-file.ts';
import { hex, Refused } from '../reader/cursor.ts';
import { readBundle } from '../reader/read-bundle.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const FILE = new URL('../fixtures/format-v1/bundle.hex', import.meta.url);

const codecs = await loadCodecs();
await codecs.prepare([1, 2, 3, 4, 5]);

function written(): OwnedBytes {
  const packs = BUNDLE_PACKS.map((sample) => writeSample(sample, codecs).bytes);
  return concatBytes([
    encodeBundleOpening(),
    ...packs.flatMap((pack) => encodeBundlePack(pack)),
    ...encodeBundleEnd(packs.length, encodeManifest(BUNDLE_MANIFEST)),
  ]);
}

if (process.env.WRITE_FIXTURES !== undefined) {
  writeHexFile(FILE, 'bundle: a snapshot as one file, version 1', annotateBundle(written()));
}

async function* inOne(file: OwnedBytes): AsyncGenerator<OwnedBytes> {
  yield file;
}

/** What opening it gives: `fine`, or the code of the error. */
const openedAs = (file: OwnedBytes): Promise<string> =>
  openBundle(() => inOne(file)).then(
    () => 'fine',
    (error: unknown) => {
      if (!isVitrineError(error)) throw error;
      return error.code;
    },
  );

function otherReaderTakes(file: Uint8Array): boolean {
  try {
    readBundle(file);
    return true;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return false;
  }
}

describe('the golden bundle', () => {
  const file = readHexFile(FILE);

  it('is written as its file', () => {
    expect(hex(written())).toBe(hex(file));
  });

  it('is opened, and brings every byte into an engine', async () => {
    const bundle = await openBundle(() => inOne(file));
    const id = hex(digest(encodeManifest(BUNDLE_MANIFEST)));
    const { machine, ...manifest } = BUNDLE_MANIFEST;
    expect(bundle.info).toMatchObject({
      ...{ id, machine: manifest.name, kind: machine.kind, label: manifest.label },
      ...{ createdAtMs: manifest.createdAtMs, statistics: manifest.statistics },
    });
    const engine = await openTestEngine();
    await sync(bundle, engine, id);
    const [ram] = await engine.peek(id, [{ address: 0x1000, lengthBytes: BUNDLE_RAM_BYTES }]);
    expectSame(ram!, BUNDLE_RAM.slice(0, BUNDLE_RAM_BYTES));
    const [registers, ...others] = await engine.devices(id);
    expect(others).toEqual([]);
    expect(registers).toMatchObject({ name: 'registers', version: 3 });
    expectSame(registers!.bytes, BUNDLE_REGISTERS);
    expect((await engine.verify(id)).damaged).toEqual([]);
  });

  it('is read by another reader', () => {
    const { regions, devices, manifest, packs } = readBundle(file);
    expect(packs).toHaveLength(2);
    expect(manifest.label).toBe(BUNDLE_MANIFEST.label);
    expect(regions.map(({ name, guestAddress }) => [name, guestAddress])).toEqual([['ram', 0x1000]]);
    expectSame(regions[0]!.bytes, BUNDLE_RAM.slice(0, BUNDLE_RAM_BYTES));
    expectSame(devices[0]!.bytes, BUNDLE_REGISTERS);
  });

  it('is refused by both wherever it ends early, goes on, or has a bit flipped', async () => {
    const random = new Random(seedOfRun());
    // All of the first bytes and of the last, where lengths and counts are, and some of those in between.
    const places = [...file.keys()].filter(
      (at) => at < 64 || at > file.length - 400 || random.below(20) === 0,
    );
    for (const at of places) {
      const cut = file.slice(0, at);
      expect([at, await openedAs(cut), otherReaderTakes(cut)]).toEqual([at, 'format-truncated', false]);
      const flipped = file.slice();
      flipped[at]! ^= 1 << random.below(8);
      expect([at, await openedAs(flipped), otherReaderTakes(flipped)]).toEqual([
        at,
        expect.stringMatching(/^format-/),
        false,
      ]);
    }
    const longer = concatBytes([file, new Uint8Array(1)]);
    expect([await openedAs(longer), otherReaderTakes(longer)]).toEqual(['format-range', false]);
  });
});

it('a bundle that an engine writes is read by another reader', async () => {
  const engine = await openTestEngine();
  const { guest, machine, memory } = await adoptFlat(engine, 'alpha', 700);
  memory.set(new Random(seedOfRun()).bytes(200_000), 5_000);
  guest.run(100);
  await machine.save();
  guest.run(100);
  const { snapshot } = await machine.save({ label: 'as a file' });
  await guest.pause();
  for (const effort of ['fast', 'balanced', 'small'] as const) {
    const parts: OwnedBytes[] = [];
    await sync(
      engine,
      bundleTarget(async (bytes) => void parts.push(bytes.slice())),
      snapshot.id,
      { effort },
    );
    const { regions, devices, manifestBytes } = readBundle(concatBytes(parts));
    expect(hex(digest(manifestBytes))).toBe(snapshot.id);
    expectSame(regions[0]!.bytes, memory);
    expectSame(devices[0]!.bytes, guest.saveDevices()[0]!.bytes);
  }
  await guest.resume();
});
