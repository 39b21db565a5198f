// The packed package in a blank Vite project, in real Chromium, without cross-origin isolation and without a line of
// configuration: built (under a strict policy), and while one develops.

import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { BlankProject, makeFolder, removeFolder } from './blank-project.ts';
import { addPages, launch, outcomeOf, type Site, serveBuilt, serveSources } from './pages.ts';
import { readmeBlock } from './readme.ts';

const OURS = ['main-thread.js', 'worker-after-reopen.js', 'copied-worker.js'];
const PROGRAMS = ['page.js', ...OURS];

// `npm test -- --without-browser` says aloud that these are left out.
describe.skipIf(process.env.VITRINE_WITHOUT_BROWSER === '1')('a blank Vite project', () => {
  let project: BlankProject;

  beforeAll(async () => {
    project = await BlankProject.create(inject('tarball'));
    for (const name of ['memory.mjs', ...OURS]) await project.copy(name);
    await project.publish('dist/lib/worker.js', 'vitrine-worker.js');
    const block = await readmeBlock('page.js');
    await project.write(
      'page.js',
      `${block}\nwindow.reportOutcome({ steps: guest.steps, info: vitrine.info });`,
    );
    await addPages(project, PROGRAMS);
  });

  afterAll(() => project?.remove());

  /** Runs `body` with a site and a new browser profile. */
  async function withSite(open: () => Promise<Site>, body: (site: Site, profile: string) => Promise<void>) {
    const site = await open();
    const profile = await makeFolder();
    try {
      await body(site, profile);
    } finally {
      await site.close();
      await removeFolder(profile);
    }
  }

  /** Each page in a browser of its own, all on one profile. */
  async function visit(url: string, profile: string): Promise<unknown> {
    const context = await launch(profile);
    try {
      return await outcomeOf(context, url);
    } finally {
      await context.close();
    }
  }

  async function expectWorks(site: Site, profile: string): Promise<void> {
    expect(await visit(`${site.origin}/page.html`, profile)).toMatchObject({
      steps: 0,
      info: { kernels: 'simd', crossOriginIsolated: false, store: { kind: 'idb' } },
    });
    const saved = await visit(`${site.origin}/main-thread.html`, profile);
    expect(saved).toMatchObject({ id: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(await visit(`${site.origin}/worker-after-reopen.html`, profile)).toEqual(saved);
    expect(await visit(`${site.origin}/copied-worker.html`, profile)).toEqual({ steps: 0 });
  }

  it('works when built: README block, main thread, worker, a closed browser between', async () => {
    await withSite(() => serveBuilt(project, PROGRAMS), expectWorks);
  });

  it('works while one develops', async () => {
    await withSite(() => serveSources(project), expectWorks);
  });
});
