// The Vite plugin without a browser: what a build writes, and what a development server answers. The browser's part is in
// test/pack/vite-plugin.test.ts.

import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { build, createServer, type Plugin } from 'vite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type InstrumentWasmOptions, instrumentWasm } from '../../src/host/vite/instrument-wasm.ts';
import { mapOf } from '../../src/instrument/index.ts';
import { wat } from '../support/wat.ts';

/** No two are alike: a build keeps one of equal assets. */
const moduleOf = (name: string) =>
  wat(`(module (memory (export "${name}") 1) (func (export "f") (i32.store (i32.const 0) (i32.const 1))))`);
const OTHER = wat('(module (memory (export "other") 1))');
const BROKEN = wat('(module (memory 1) (memory 1))');

const FILES: Readonly<Record<string, string | Uint8Array>> = {
  'index.html': '<!doctype html><script type="module" src="./main.js"></script>',
  'main.js': `import imported from './imported.wasm?url';
    import init from './init.wasm?init';
    import other from './other.wasm?url&no-inline';
    console.log(imported, init, other, new URL('./named.wasm', import.meta.url).href);`,
  'imported.wasm': moduleOf('imported'),
  'init.wasm': moduleOf('init'),
  'named.wasm': moduleOf('named'),
  'other.wasm': OTHER,
  'public/deep/published.wasm': moduleOf('published'),
  'public/other.wasm': OTHER,
};
const INCLUDE = /(imported|init|named|published)[^/]*\.wasm$/;

let root = '';
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'vitrine-vite-')));
  for (const [name, content] of Object.entries(FILES)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content);
  }
});
afterEach(() => rm(root, { recursive: true, force: true }));

function configWith(options: InstrumentWasmOptions) {
  // Checked by the compiler: the plugin is one of Vite's without importing its types.
  const plugins: Plugin[] = [instrumentWasm(options)];
  return { root, configFile: false, logLevel: 'silent', plugins } as const;
}

/** Modules of a build by what their names begin with, and the code of its chunks. */
async function buildWith(options: InstrumentWasmOptions) {
  await build({ ...configWith(options), build: { emptyOutDir: true } });
  const out = join(root, 'dist');
  const files = (await readdir(out, { recursive: true })).map((file) => file.replaceAll('\\', '/'));
  const modules = new Map<string, { file: string; bytes: Uint8Array }>();
  let code = '';
  for (const file of files) {
    const name = file.slice(file.lastIndexOf('/') + 1);
    if (name.endsWith('.wasm')) {
      modules.set(file.startsWith('assets/') ? name.replace(/-.*/, '') : file, {
        file,
        bytes: await readFile(join(out, file)),
      });
    } else if (name.endsWith('.js')) code += await readFile(join(out, file), 'utf8');
  }
  return { modules, code, chunks: files.filter((file) => file.endsWith('.js')) };
}

describe('a build', () => {
  it('instruments what code names and what is published, and nothing else', async () => {
    const { modules, code } = await buildWith({ include: INCLUDE, marks: true });
    expect([...modules.keys()].sort()).toEqual(
      ['deep/published.wasm', 'imported', 'init', 'named', 'other', 'other.wasm'].sort(),
    );
    for (const [name, { file, bytes }] of modules) {
      expect(mapOf(bytes)?.kind, name).toBe(name.startsWith('other') ? undefined : 'marks');
      expect(WebAssembly.validate(Uint8Array.from(bytes))).toBe(true);
      // Named in the code by the name it has now.
      if (file.startsWith('assets/')) expect(code).toContain(file.slice('assets/'.length));
    }
  });

  it('gives all that depends on the options another name when they change', async () => {
    const marks = await buildWith({ include: INCLUDE, marks: true });
    const again = await buildWith({ include: INCLUDE, marks: true });
    const barriers = await buildWith({ include: INCLUDE, barriers: true });
    const names = ({ modules, chunks }: typeof marks) => [
      ...['imported', 'init', 'named'].map((name) => modules.get(name)!.file),
      ...chunks,
    ];
    expect(names(again)).toEqual(names(marks));
    const [before, after] = [names(marks), names(barriers)];
    for (const [index, name] of after.entries()) expect(name).not.toBe(before[index]);
    expect(barriers.modules.get('other')!.file).toBe(marks.modules.get('other')!.file);
  });

  it('fails when a module cannot be rewritten', async () => {
    await writeFile(join(root, 'named.wasm'), BROKEN);
    await expect(buildWith({ include: INCLUDE, marks: true })).rejects.toThrow('several memories');
  });
});

describe('a development server', () => {
  async function withServer(
    body: (get: (path: string, init?: RequestInit) => Promise<Response>) => Promise<void>,
  ) {
    const server = await createServer({
      ...configWith({ include: INCLUDE, marks: true }),
      server: { port: 0, host: '127.0.0.1', hmr: false, watch: null },
    });
    try {
      await server.listen();
      // Safe: it listens on TCP.
      const { port } = server.httpServer!.address() as { port: number };
      await body((path, init) => fetch(`http://127.0.0.1:${port}${path}`, init));
    } finally {
      await server.close();
    }
  }
  const mapIn = async (response: Response) => mapOf(new Uint8Array(await response.arrayBuffer()));

  it('answers with instrumented modules, and with scripts and others as they are', async () => {
    await withServer(async (get) => {
      for (const path of ['/named.wasm', '/named.wasm?t=123', '/deep/published.wasm']) {
        const response = await get(path);
        expect(response.headers.get('content-type'), path).toBe('application/wasm');
        expect((await mapIn(response))?.kind, path).toBe('marks');
      }
      expect(await mapIn(await get('/other.wasm'))).toBeUndefined();
      expect(await (await get('/imported.wasm?import&url')).text()).toContain('export default');
      expect(await (await get('/no-such-named.wasm')).text()).not.toContain('vitrine');
    });
  });

  it('does not let a browser keep what other options made', async () => {
    await withServer(async (get) => {
      const first = await get('/named.wasm');
      expect(first.headers.get('cache-control')).toBe('no-store');
      const headers = {
        'If-None-Match': '*',
        'If-Modified-Since': new Date(2100, 1).toUTCString(),
        Range: 'bytes=0-9',
      };
      const second = await get('/named.wasm', { headers });
      expect(second.status).toBe(200);
      expect((await mapIn(second))?.kind).toBe('marks');
    });
  });

  it('keeps the rules of what may be served', async () => {
    await withServer(async (get) => {
      const outside = await mkdtemp(join(tmpdir(), 'vitrine-outside-'));
      await writeFile(join(outside, 'named.wasm'), moduleOf('outside'));
      expect((await get(`/@fs${outside}/named.wasm`)).status).toBe(403);
      await rm(outside, { recursive: true });
    });
  });

  it('says what it could not rewrite', async () => {
    await writeFile(join(root, 'named.wasm'), BROKEN);
    await withServer(async (get) => {
      const response = await get('/named.wasm');
      expect(response.status).toBe(500);
      expect(await response.text()).toMatch(/unsupported: .*several memories/);
    });
  });
});
