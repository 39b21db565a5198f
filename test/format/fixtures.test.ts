// The golden files of version 1: what we write is what they hold, and what they hold is read as it was meant, by
// us and by a reader that shares no code with us.
//
// `WRITE_FIXTURES=1` writes files that do not exist yet. None is ever written over.

import { expect, test } from 'vitest';
import { loadCodecs } from '../../src/codec/index.ts';
import {
  checkNode,
  decodeFrame,
  decodeIndex,
  decodeManifest,
  encodeManifest,
  fillContent,
  frameRange,
  objectPayload,
  type PackIndex,
  readPackIndex,
  xorContent,
} from '../../src/format/index.ts';
import { annotateIndex, annotateManifest, annotateNode, annotatePack } from '../fixtures/annotate.ts';
import {
  digest,
  LARGE_PAGES,
  MANIFESTS,
  NODE,
  PACKS,
  type SamplePack,
  writeSample,
} from '../fixtures/format-v1/samples.ts';
import { readHexFile, writeHexFile } from '../fixtures/hex-file.ts';
import { hex } from '../reader/cursor.ts';
import { readManifest } from '../reader/read-manifest.ts';
import { readIndex, readPack } from '../reader/read-pack.ts';
import { Objects, pagesOf } from '../reader/read-snapshot.ts';

const fileOf = (name: string): URL => new URL(`../fixtures/format-v1/${name}.hex`, import.meta.url);
const codecs = await loadCodecs();
await codecs.prepare([1, 2, 3, 4, 5]);

if (process.env.WRITE_FIXTURES !== undefined) {
  for (const [name, sample] of Object.entries(MANIFESTS)) {
    writeHexFile(fileOf(name), `${name}: a manifest, version 1`, annotateManifest(encodeManifest(sample)));
  }
  for (const [name, sample] of Object.entries(PACKS)) {
    writeHexFile(fileOf(name), `${name}: a pack, version 1`, annotatePack(writeSample(sample, codecs).bytes));
  }
  writeHexFile(
    fileOf('index'),
    'index: that of pack-transforms, as a store keeps it',
    annotateIndex(writeSample(PACKS['pack-transforms']!, codecs).index.bytes),
  );
  writeHexFile(fileOf('node'), 'node: three entries, the second one zeros', annotateNode(NODE));
}

test.each(Object.entries(MANIFESTS))('%s is written as its file', (name, sample) => {
  expect(hex(encodeManifest(sample))).toBe(hex(readHexFile(fileOf(name))));
});

test.each(Object.entries(MANIFESTS))('%s is read from its file', (name, sample) => {
  expect(decodeManifest(readHexFile(fileOf(name)))).toEqual(sample);
});

test.each(Object.entries(MANIFESTS))('%s is read by another reader', (name, sample) => {
  const read = readManifest(readHexFile(fileOf(name)));
  expect(read.name).toBe(sample.name);
  expect(read.label).toBe(sample.label);
  expect(read.createdAtMs).toBe(sample.createdAtMs);
  expect(read.parent).toBe(sample.parent && hex(sample.parent));
  expect(read.statistics).toEqual(sample.statistics);
  expect({ ...read.machine, config: Object.fromEntries(read.config) }).toEqual(sample.machine);
  expect(read.regions).toEqual(sample.regions.map((one) => ({ ...one, root: hex(one.root) })));
  expect(read.devices).toEqual(sample.devices.map((one) => ({ ...one, root: hex(one.root) })));
});

test('a node is its entries', () => {
  const bytes = readHexFile(fileOf('node'));
  expect(hex(NODE)).toBe(hex(bytes));
  checkNode(bytes, 3);
});

test.each(Object.entries(PACKS))('%s is written as its file', (name, sample) => {
  expect(hex(writeSample(sample, codecs).bytes)).toBe(hex(readHexFile(fileOf(name))));
});

test.each(Object.entries(PACKS))('%s is read from its file', (name, sample) => {
  const bytes = readHexFile(fileOf(name));
  const index = readPackIndex(bytes);
  expect(index.count).toBe(sample.objects.length);
  for (const [i, one] of sample.objects.entries()) {
    expect(hex(contentOf(bytes, index, sample, i))).toBe(hex(one.bytes));
  }
});

test.each(Object.entries(PACKS))('%s is read by another reader', (name, sample) => {
  const bytes = readHexFile(fileOf(name));
  const objects = new Objects([bytes]);
  expect(readPack(bytes).objects.length).toBe(sample.objects.length);
  for (const one of sample.objects) {
    const content = objects.content(hex(digest(one.bytes)), one.kind === 'page' ? 1 : 2);
    expect(hex(content)).toBe(hex(one.bytes));
  }
});

test('each codec and transform has a fixture', () => {
  const indexes = Object.keys(PACKS).map((name) => readPackIndex(readHexFile(fileOf(name))));
  expect(new Set(indexes.flatMap((index) => index.codecIds()))).toEqual(new Set([1, 2, 3, 4, 5]));
  const transforms = indexes.flatMap((index) => entriesOf(index).map((one) => one.transform));
  expect(new Set(transforms)).toEqual(new Set(['plain', 'fill', 'xor']));
});

test('an index is written as its file', () => {
  const { index } = writeSample(PACKS['pack-transforms']!, codecs);
  expect(hex(index.bytes)).toBe(hex(readHexFile(fileOf('index'))));
});

test('an index is read from its file', () => {
  const bytes = readHexFile(fileOf('index'));
  const objects = PACKS['pack-transforms']!.objects;
  expect(entriesOf(decodeIndex(bytes)).map((one) => hex(one.digest))).toEqual(
    objects.map((one) => hex(digest(one.bytes))).sort(),
  );
  expect(readIndex(bytes).objects.map((one) => one.transform)).toEqual([2, 1, 3]);
});

test('an index reads the same from its pack and alone', () => {
  for (const [name, sample] of Object.entries(PACKS)) {
    const alone = decodeIndex(writeSample(sample, codecs).index.bytes);
    expect(entriesOf(alone)).toEqual(entriesOf(readPackIndex(readHexFile(fileOf(name)))));
  }
});

test('pages past 4 GiB are found', () => {
  const [region] = readManifest(readHexFile(fileOf('manifest-past-4-gib'))).regions;
  const pages = [...pagesOf(region!, new Objects([readHexFile(fileOf('pack-past-4-gib'))]))];
  expect(pages.map((one) => one.page)).toEqual(LARGE_PAGES.map((one) => one.page));
  for (const [i, { bytes }] of LARGE_PAGES.entries()) expect(hex(pages[i]!.bytes)).toBe(hex(bytes));
});

function entriesOf(index: PackIndex): ReturnType<PackIndex['entry']>[] {
  return Array.from({ length: index.count }, (_, i) => index.entry(i));
}

/** The content of an object of a sample, by way of our reader. */
function contentOf(
  pack: Uint8Array<ArrayBuffer>,
  index: PackIndex,
  sample: SamplePack,
  object: number,
): Uint8Array {
  const { as, bytes } = sample.objects[object]!;
  const entry = index.entry(index.find(digest(bytes)));
  if (entry.transform === 'fill') return fillContent(entry);
  const range = frameRange(index, entry.frame);
  const encoded = pack.subarray(range.offsetBytes, range.offsetBytes + range.lengthBytes);
  const payload = objectPayload(decodeFrame(index, entry.frame, encoded, codecs), entry);
  if (entry.transform === 'plain') return payload;
  return xorContent(payload, (as as { base: Uint8Array }).base);
}
