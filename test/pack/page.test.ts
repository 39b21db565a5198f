// The page out of the installed package: served by its own `vitrine serve`, from a folder that is no tree of sources.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { BlankProject, makeFolder, removeFolder } from './blank-project.ts';
import { launch } from './pages.ts';

// `npm test -- --without-browser` says aloud that these are left out.
describe.skipIf(process.env.VITRINE_WITHOUT_BROWSER === '1')('the page of the installed package', () => {
  let project: BlankProject;

  beforeAll(async () => {
    project = await BlankProject.create(inject('tarball'));
  });

  afterAll(() => project?.remove());

  it('runs its first machine, saves it, and is connected to the bridge', async () => {
    const env = {
      ...process.env,
      VITRINE_RUN_DIR: join(project.folder, 'run'),
      VITRINE_STORE: join(project.folder, 'host-store'),
    };
    const program = join(project.folder, 'node_modules', '.bin', 'vitrine');
    const bridge = spawn(program, ['serve', '--listen', '127.0.0.1:0', '--json'], {
      cwd: project.folder,
      env,
    });
    const profile = await makeFolder();
    try {
      const [line] = (await once(bridge.stdout, 'data')) as [Buffer];
      const { address, origin } = JSON.parse(line.toString()) as { address: string; origin: string };
      const context = await launch(profile);
      try {
        const page = await context.newPage();
        const complaints: string[] = [];
        page.on('pageerror', (error) => complaints.push(String(error)));
        page.on('requestfailed', (request) => complaints.push(request.url()));
        await page.goto(address);
        await page.getByText(/Connected to vitrine/).waitFor();
        await page.getByRole('button', { name: 'Save pulse', exact: true }).click();
        await page.getByRole('treeitem').first().waitFor();
        expect(complaints).toEqual([]);
        const licenses = await fetch(`${origin}/third-party-licenses.txt`);
        expect(await licenses.text()).toContain('v86');
      } finally {
        await context.close();
      }
      bridge.kill('SIGTERM');
      expect(await once(bridge, 'exit')).toEqual([0, null]);
    } finally {
      bridge.kill('SIGKILL');
      await removeFolder(profile);
    }
  });
});
