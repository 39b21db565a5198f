// `vitrine/vite` from the packed package, in a blank Vite project with three lines of configuration and in real Chromium: the
// page's WebAssembly marks what it writes, built and while one develops.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { wat } from '../support/wat.ts';
import { BlankProject, makeFolder, removeFolder } from './blank-project.ts';
import { addPages, launch, outcomeOf, type Site, serveBuilt, serveSources } from './pages.ts';

const CONFIG = [
  "import { instrumentWasm } from 'vitrine/vite';",
  'export ' + 'default { plugins: [instrumentWasm({ include: /(game|public)\\.wasm$/, marks: true })] };',
].join('\n');

/** Three ways to name a module, each loaded as an emulator's own glue would, and caught as a guest. */
const PAGE = `import { catchInstance, WasmInstanceGuest } from 'vitrine/guest/wasm';
import imported from './imported-game.wasm?url';

async function marksOf(url) {
  const { result, caught } = await catchInstance(async () => {
    const { instance } = await WebAssembly.instantiateStreaming(fetch(url), {});
    return instance;
  });
  const guest = new WasmInstanceGuest(caught, { program: 'game' });
  await guest.pause();
  guest.takeDirty().commit();
  await guest.resume();
  result.exports.store(9000);
  await guest.pause();
  const pages = [...guest.takeDirty().pages[0]];
  await guest.resume();
  return { tracking: guest.traits.tracking, pages };
}

window.reportOutcome({
  imported: await marksOf(imported),
  named: await marksOf(new URL('./named-game.wasm', import.meta.url)),
  published: await marksOf('/public.wasm'),
});
`;

const moduleOf = (name: string) =>
  wat(`(module (memory (export "memory") 1 9) (func (export "${name}"))
    (func (export "store") (param i32) (i32.store (local.get 0) (i32.const 1))))`);

// `npm test -- --without-browser` says aloud that these are left out.
describe.skipIf(process.env.VITRINE_WITHOUT_BROWSER === '1')('a blank Vite project with the plugin', () => {
  let project: BlankProject;

  beforeAll(async () => {
    project = await BlankProject.create(inject('tarball'));
    await project.write('vite.config.js', CONFIG);
    await project.write('game.js', PAGE);
    await project.writeBytes('imported-game.wasm', moduleOf('imported'));
    await project.writeBytes('named-game.wasm', moduleOf('named'));
    await project.writeBytes('public/public.wasm', moduleOf('published'));
    await addPages(project, ['game.js']);
  });

  afterAll(() => project?.remove());

  async function expectMarks(open: () => Promise<Site>): Promise<void> {
    const site = await open();
    const profile = await makeFolder();
    const context = await launch(profile);
    try {
      const marks = { tracking: 'marks', pages: [2] };
      const outcome = await outcomeOf(context, `${site.origin}/game.html`);
      expect(outcome).toEqual({ imported: marks, named: marks, published: marks });
    } finally {
      await context.close();
      await site.close();
      await removeFolder(profile);
    }
  }

  const configFile = () => join(project.folder, 'vite.config.js');

  it('marks when built', () =>
    expectMarks(() =>
      serveBuilt(project, ['game.js'], { configFile: configFile(), policy: "; connect-src 'self'" }),
    ));

  it('marks while one develops', () =>
    expectMarks(() => serveSources(project, { configFile: configFile() })));

  it('leaves the sources alone', async () => {
    expect(await readFile(join(project.folder, 'named-game.wasm'))).toEqual(Buffer.from(moduleOf('named')));
  });
});
