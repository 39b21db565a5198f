// What a page pays for an engine: as a bundler makes it from the packed package, compressed as a server sends it.

import { gzipSync } from 'node:zlib';
import { build, type Rolldown } from 'vite';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { BlankProject } from './blank-project.ts';

const BUDGET_BYTES = 60 * 1024;
const ENTRY =
  "export { openTracker, openVitrine } from 'vitrine'; export { openIdbStore } from 'vitrine/store/idb';";

let project: BlankProject;

beforeAll(async () => {
  project = await BlankProject.create(inject('tarball'));
  await project.write('entry.js', ENTRY);
});

afterAll(() => project?.remove());

describe('an engine with its kernels, a store and the codec of fast saves', () => {
  it('is at most 60 KiB compressed, and leaves zstd until it is needed', async () => {
    const [output] = (await build({
      root: project.folder,
      configFile: false,
      logLevel: 'error',
      build: { write: false, minify: true, lib: { entry: 'entry.js', formats: ['es'] } },
    })) as Rolldown.RolldownOutput[];
    const chunks = output!.output.filter((one) => one.type === 'chunk');
    const sizeOf = (chunk: Rolldown.OutputChunk) => gzipSync(chunk.code).length;
    const isZstd = (chunk: Rolldown.OutputChunk) => chunk.moduleIds.some((id) => id.includes('zstd-wasm'));
    const needed = chunks.filter((chunk) => !isZstd(chunk));
    expect(needed.reduce((sum, chunk) => sum + sizeOf(chunk), 0)).toBeLessThan(BUDGET_BYTES);
    // All of it is counted: without these the sum would say nothing.
    expect(needed.length).toBeGreaterThan(3);
    expect(chunks.filter(isZstd).reduce((sum, chunk) => sum + sizeOf(chunk), 0)).toBeGreaterThan(
      BUDGET_BYTES,
    );
  });
});
