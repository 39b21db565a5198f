// What a page pays for an engine: the scripts that a page of the packed package has loaded when its first save is durable,
// built as `vite build` builds pages and compressed as a server sends them. What it loads later, when it is first used,
// works under the same policy, and fails by its code where the site no longer has it.

import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { BlankProject, makeFolder, removeFolder } from './blank-project.ts';
import { addPages, launch, outcomeOf, serveBuilt } from './pages.ts';

/** The goal is 60 KiB; the rest of it is for what a page writes itself to use an engine. */
const BUDGET_BYTES = 56 * 1024;
const PARTS = ['checkpoint', 'live-capture', 'upkeep', 'doorbell'];
/** `assets/checkpoint-Bx4eUp_J.js`: the chunk's name, and a hash. */
const CHUNK = /\/assets\/([^/]+)-[\w-]{8}\.js$/;

const WHOLE = {
  checkpoint: 'done',
  reset: 'done',
  live: 'barrier',
  diff: 'done',
  verify: 'done',
  collect: 'done',
  doorbell: 'done',
  isSaved: true,
  isRestored: true,
};

// `npm test -- --without-browser` says aloud that these are left out.
describe.skipIf(process.env.VITRINE_WITHOUT_BROWSER === '1')('an engine, as a page loads it', () => {
  let project: BlankProject;

  beforeAll(async () => {
    project = await BlankProject.create(inject('tarball'));
    for (const name of ['memory.mjs', 'first-save.js', 'parts.js']) await project.copy(name);
    await addPages(project, ['first-save.js', 'parts.js']);
  });

  afterAll(() => project?.remove());

  /**
   * Builds one page and opens it, without the chunks that are `lost`. What its program reported, and the chunks that it
   * had loaded by then: their names, with their bytes compressed.
   */
  async function visit(program: string, lost: readonly string[] = []) {
    // Alone: two pages built at once would be cut into chunks by what they have in common.
    const site = await serveBuilt(project, [program]);
    const profile = await makeFolder();
    const context = await launch(profile);
    try {
      const loading: Promise<readonly [string, number]>[] = [];
      context.on('response', (response) => {
        const name = CHUNK.exec(response.url())?.[1];
        if (name === undefined || !response.ok()) return;
        loading.push(response.body().then((body) => [name, gzipSync(body).length] as const));
      });
      const isLost = (url: string) => lost.includes(CHUNK.exec(url)?.[1] ?? '');
      await context.route(CHUNK, (route) =>
        isLost(route.request().url()) ? route.fulfill({ status: 404 }) : route.continue(),
      );
      const outcome = await outcomeOf(context, `${site.origin}/${program.replace('.js', '.html')}`, isLost);
      return { outcome, chunks: await Promise.all(loading) };
    } finally {
      await context.close();
      await removeFolder(profile);
      await site.close();
    }
  }

  it('is at most 56 KiB compressed until the first save is durable, kernels, store and codec included', async () => {
    const { outcome, chunks } = await visit('first-save.js');
    expect(outcome).toEqual({ id: expect.stringMatching(/^[0-9a-f]{64}$/) });
    const names = chunks.map(([name]) => name);
    // One build of the kernels, the codec of fast saves, and nothing that no save uses.
    expect(names).toEqual(expect.arrayContaining(['first-save', 'simd', 'lz4']));
    for (const name of [...PARTS, 'page-lanes', 'plain', 'reference', 'index.web'])
      expect(names).not.toContain(name);
    const engine = chunks.filter(([name]) => name !== 'flat');
    const sum = engine.reduce((total, [, bytes]) => total + bytes, 0);
    expect(sum).toBeLessThan(BUDGET_BYTES);
  });

  it('loads the rest when it is first used', async () => {
    const { outcome, chunks } = await visit('parts.js');
    expect(outcome).toEqual(WHOLE);
    expect(chunks.map(([name]) => name)).toEqual(expect.arrayContaining(PARTS));
  });

  // A page that cannot even start without a part never reports: this ends the wait for it.
  it('says which part a site has lost, and saves and restores without', { timeout: 60_000 }, async () => {
    const { outcome } = await visit('parts.js', PARTS);
    const gone = 'part-unavailable';
    expect(outcome).toEqual({
      ...WHOLE,
      ...{ checkpoint: gone, live: gone, diff: gone, verify: gone, collect: gone, doorbell: gone },
      // There is no checkpoint to go back to.
      reset: 'wrong-state',
    });
  });
});
