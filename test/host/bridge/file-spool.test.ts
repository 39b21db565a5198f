// Bytes that wait in a file without a name.

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { concatBytes, type OwnedBytes } from '../../../src/base/bytes.ts';
import { MIB } from '../../../src/base/limits.ts';
import { openFileSpool } from '../../../src/host/bridge/file-spool.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-spool-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const piece = (first: number, lengthBytes: number): OwnedBytes =>
  Uint8Array.from({ length: lengthBytes }, (_, index) => (first + index * 7) & 0xff);

it('gives back what was written, in order, while more is written', async () => {
  const spool = await openFileSpool(folder);
  expect(await readdir(folder)).toEqual([]);
  const written: OwnedBytes[] = [];
  const read: OwnedBytes[] = [];
  const reading = (async () => {
    for await (const part of spool.parts()) {
      expect(part.length).toBeLessThanOrEqual(MIB);
      read.push(part);
    }
  })();
  for (const lengthBytes of [1, 4096, 3 * MIB + 5, 0, 700_000]) {
    const bytes = piece(lengthBytes, lengthBytes);
    written.push(bytes);
    await spool.write(bytes);
  }
  spool.end();
  await reading;
  expect(Buffer.compare(concatBytes(read), concatBytes(written))).toBe(0);
  await spool.close();
});

it('ends for a reader who waits when it is closed, and takes nothing more', async () => {
  const spool = await openFileSpool(folder);
  const reading = (async () => {
    let bytes = 0;
    for await (const part of spool.parts()) bytes += part.length;
    return bytes;
  })();
  await spool.write(piece(1, 10));
  await expect.poll(() => reading === undefined).toBe(false);
  await spool.close();
  await spool.close();
  expect([0, 10]).toContain(await reading.catch(() => 0));
  expect(await codeOf(() => spool.write(piece(1, 1)))).toBe('wrong-state');
});
