// What a page pays for an engine (engine-weight.ts says what counts), of the packed package. What it loads later, when it is first used,
// works under the same policy, and fails by its code where the site no longer has it.

import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { BlankProject } from './blank-project.ts';
import { engineBytes, visitFirstSave, visitPage } from './engine-weight.ts';

/** The goal is 60 KiB; the rest of it is for what a page writes itself to use an engine. */
const BUDGET_BYTES = 56 * 1024;
const PARTS = ['checkpoint', 'live-capture', 'upkeep', 'doorbell'];

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
    for (const name of ['memory.mjs', 'parts.js']) await project.copy(name);
  });

  afterAll(() => project?.remove());

  it('is at most 56 KiB compressed until the first save is durable, kernels, store and codec included', async () => {
    const visit = await visitFirstSave(project);
    const { outcome, chunks } = visit;
    expect(outcome).toEqual({ id: expect.stringMatching(/^[0-9a-f]{64}$/) });
    const names = chunks.map(([name]) => name);
    // One build of the kernels, the codec of fast saves, and nothing that no save uses.
    expect(names).toEqual(expect.arrayContaining(['first-save', 'simd', 'lz4']));
    for (const name of [...PARTS, 'page-lanes', 'plain', 'reference', 'index.web'])
      expect(names).not.toContain(name);
    expect(engineBytes(visit)).toBeLessThan(BUDGET_BYTES);
  });

  it('loads the rest when it is first used', async () => {
    const { outcome, chunks } = await visitPage(project, 'parts.js');
    expect(outcome).toEqual(WHOLE);
    expect(chunks.map(([name]) => name)).toEqual(expect.arrayContaining(PARTS));
  });

  // A page that cannot even start without a part never reports: this ends the wait for it.
  it('says which part a site has lost, and saves and restores without', { timeout: 60_000 }, async () => {
    const { outcome } = await visitPage(project, 'parts.js', PARTS);
    const gone = 'part-unavailable';
    expect(outcome).toEqual({
      ...WHOLE,
      ...{ checkpoint: gone, live: gone, diff: gone, verify: gone, collect: gone, doorbell: gone },
      // There is no checkpoint to go back to.
      reset: 'wrong-state',
    });
  });
});
