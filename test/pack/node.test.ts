// The packed package in a blank Node project, and what a stranger's tools say of it.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { BlankProject } from './blank-project.ts';
import { readmeBlock } from './readme.ts';

const call = promisify(execFile);
const packageIn = (installed: BlankProject) => join(installed.folder, 'node_modules', 'vitrine');

const tarball = inject('tarball');
let project: BlankProject;

beforeAll(async () => {
  project = await BlankProject.create(tarball);
});

afterAll(() => project?.remove());

describe('the tarball', () => {
  it('holds the library, its documentation, and nothing else of the tree it was made in', async () => {
    const strangers = tarball.paths.filter(
      (path) =>
        !/^(dist\/(lib|page)\/|src\/.*\.md$|(package\.json|README\.md|CHANGELOG\.md|LICENSE)$)/.test(path),
    );
    expect(strangers).toEqual([]);
    // What its README leads to is there.
    const readme = await readFile(join(packageIn(project), 'README.md'), 'utf8');
    const linked = Array.from(readme.matchAll(/\]\((src\/[^)#]+\.md)/g), ([, path]) => path!);
    expect(linked.length).toBeGreaterThan(5);
    expect(linked.filter((path) => !tarball.paths.includes(path))).toEqual([]);
    expect(tarball.paths).toContain('dist/lib/worker.js');
    expect(tarball.paths).toContain('dist/lib/THIRD-PARTY-LICENSES.txt');
    expect(tarball.paths).toContain('dist/page/index.html');
    expect(tarball.paths).toContain('dist/page/third-party-licenses.txt');
    // Half of it is the page; a guest's disk image or a source map that slipped in is more than what is left.
    expect(tarball.sizeBytes).toBeLessThan(3 << 20);
  });

  it('is what publint calls correct', async () => {
    const { messages, pkg } = await publint({
      pkgDir: packageIn(project),
      strict: true,
    });
    expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([]);
  });
});

describe('the program', () => {
  it('instruments a module', async () => {
    // (module (memory (export "m") 1) (func (export "f") (i32.store (i32.const 0) (i32.const 1))))
    const module = Buffer.from(
      '0061736d0100000001040160000003020100050301000107090201 6d02000166000 00a0b01090041004101360200 0b'.replaceAll(
        ' ',
        '',
      ),
      'hex',
    );
    await writeFile(join(project.folder, 'in.wasm'), module);
    const program = join(project.folder, 'node_modules', '.bin', 'vitrine');
    const run = (...args: string[]) => call(program, args, { cwd: project.folder });
    const { stdout } = await run('instrument', 'in.wasm', '-o', 'out.wasm', '--marks', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ report: { stores: 1 }, map: { kind: 'marks' } });
    const rewritten = Uint8Array.from(await readFile(join(project.folder, 'out.wasm')));
    expect(WebAssembly.validate(rewritten)).toBe(true);
    await expect(run('instrument', 'in.wasm')).rejects.toMatchObject({ code: 2 });
    await expect(run('instrument', 'out.wasm', '-o', 'twice.wasm', '--marks')).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^vitrine: argument-invalid: /),
    });
  });

  it('serves until it is told to end, and its commands find it', async () => {
    const program = join(project.folder, 'node_modules', '.bin', 'vitrine');
    const env = {
      ...process.env,
      VITRINE_RUN_DIR: join(project.folder, 'run'),
      VITRINE_STORE: join(project.folder, 'host-store'),
    };
    const bridge = spawn(program, ['serve', '--listen', '127.0.0.1:0', '--json'], { env });
    try {
      const [line] = (await once(bridge.stdout, 'data')) as [Buffer];
      const { origin } = JSON.parse(line.toString());
      expect(await (await fetch(`${origin}/healthz`)).json()).toMatchObject({ status: 'ok' });
      const { stdout } = await call(program, ['ls', '--json'], { env });
      expect(JSON.parse(stdout)).toEqual({ machines: [] });
      bridge.kill('SIGTERM');
      expect(await once(bridge, 'exit')).toEqual([0, null]);
      await expect(call(program, ['ls'], { env })).rejects.toMatchObject({ code: 9 });
    } finally {
      bridge.kill('SIGKILL');
    }
  });
});

describe('a blank Node project', () => {
  it('runs the first block of the README', async () => {
    const block = await readmeBlock('main.mjs');
    await project.write('main.mjs', `${block}\nconsole.log(JSON.stringify({ steps: guest.steps }));`);
    expect(await project.run('main.mjs')).toEqual({ steps: 0 });
    const unrestored = block.replace(/^await machine\.restore.*$/m, '');
    await project.write('main.mjs', `${unrestored}\nconsole.log(JSON.stringify({ steps: guest.steps }));`);
    expect(await project.run('main.mjs')).toEqual({ steps: 10_000 });
  });

  it('restores in one process what another one saved', async () => {
    for (const name of ['memory.mjs', 'save-to-disk.mjs', 'restore-from-disk.mjs']) await project.copy(name);
    const saved = await project.run('save-to-disk.mjs', 'snapshots');
    expect(await project.run('restore-from-disk.mjs', 'snapshots')).toEqual({
      ...(saved as object),
      damaged: [],
    });
  });

  it('serves a machine over a channel, and operates it from the other end', async () => {
    await project.copy('bridge.mjs');
    expect(await project.run('bridge.mjs')).toEqual({
      label: 'from afar',
      bytes: [254, 255, 0, 1],
      damaged: [],
      state: 'closed',
    });
  });

  it('has types for every module resolution that is used with ESM', async () => {
    await project.copy('use.ts');
    expect(await project.compile('use.ts', 'bundler')).toBe('');
    expect(await project.compile('use.ts', 'nodenext')).toBe('');
  });

  it('runs real emulators that were installed beside it', async () => {
    const { peerDependencies } = JSON.parse(await readFile(join(packageIn(project), 'package.json'), 'utf8'));
    await project.install(Object.entries(peerDependencies).map(([name, version]) => `${name}@${version}`));
    await project.copy('real-guests.mjs');
    expect(await project.run('real-guests.mjs')).toEqual({
      isBack: true,
      moved: true,
      restored: true,
      said: 'x is 42',
    });
  });
});
