// Builds the package from src into dist/lib: `npm run build:lib`.
//
// package.json's `exports` is the table of what there is: `./store/idb` → dist/lib/store/idb-store.js is made from
// src/store/idb-store.ts. Modules stay modules, so that a bundler takes only what is imported, and declarations lie
// beside them. `worker.js` alone is one file with everything in it: copying it somewhere else is enough.

import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { licensesOf } from './src/app/licenses.mjs';

const ROOT = dirname(fileURLToPath(import.meta.url));
const SOURCE = join(ROOT, 'src');
const FINISHED = join(ROOT, 'dist', 'lib');
/** Where it is built, so that dist/lib is never half done. */
const TARGET = `${FINISHED}.${process.pid}`;
const KERNELS = ['simd.wasm', 'plain.wasm'];
/** What the development tree calls the engine's worker, and what the package does. */
const WORKER = {
  source: join(ROOT, 'workers', 'engine.ts'),
  from: '../workers/engine.ts',
  to: './worker.js',
};
/** Taken into the package: their own loaders find their .wasm in some bundlers only. */
const INLINED = ['lz4-wasm', '@bokuweb/zstd-wasm'];

const require = createRequire(import.meta.url);
const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
const entries = entriesOf([
  ...Object.values(manifest.exports).map((target) => target.default),
  ...Object.values(manifest.bin),
]);
const external = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies ?? {})];

try {
  await mkdir(join(TARGET, 'kernel'), { recursive: true });
  await buildModules();
  await buildWorker();
  await buildDeclarations();
  for (const name of KERNELS) {
    await copyFile(join(SOURCE, 'kernel', 'generated', name), join(TARGET, 'kernel', name));
  }
  await writeFile(join(TARGET, 'THIRD-PARTY-LICENSES.txt'), await licensesOf([...INLINED, 'comlink', 'idb']));
  await rm(FINISHED, { recursive: true, force: true });
  await rename(TARGET, FINISHED);
} finally {
  await rm(TARGET, { recursive: true, force: true });
}

async function buildModules() {
  const bundle = await rolldown({
    input: entries,
    platform: 'neutral',
    external: (id) =>
      external.some((name) => id === name || id.startsWith(`${name}/`)) || id.startsWith('node:'),
    plugins: [inlineWasm(), nameWorker()],
  });
  await bundle.write({
    dir: TARGET,
    format: 'esm',
    preserveModules: true,
    preserveModulesRoot: SOURCE,
    // npm leaves every folder of the name node_modules out of a package.
    entryFileNames: ({ name }) => `${name.replace(/^.*node_modules/, 'vendor').replaceAll('@', '')}.js`,
  });
  await bundle.close();
}

async function buildWorker() {
  const bundle = await rolldown({
    input: WORKER.source,
    platform: 'browser',
    plugins: [inlineWasm()],
  });
  await bundle.write({
    file: join(TARGET, 'worker.js'),
    format: 'esm',
    codeSplitting: false,
    minify: true,
  });
  await bundle.close();
  await writeFile(
    join(TARGET, 'worker.d.ts'),
    '// Runs an engine in a worker; nothing is exported.\nexport {};\n',
  );
}

async function buildDeclarations() {
  const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc');
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.lib.json', '--outDir', TARGET], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('the declarations do not compile');
  for (const file of await readdir(TARGET, { recursive: true })) {
    if (!file.endsWith('.d.ts')) continue;
    const text = await readFile(join(TARGET, file), 'utf8');
    // The compiler rewrites extensions in code and not in declarations.
    await writeFile(
      join(TARGET, file),
      text.replace(/((?:from|import\()\s*['"]\.[^'"]*)\.ts(['"])/g, '$1.js$2'),
    );
  }
}

/** WebAssembly inside the code: what zstd's package would fetch. */
function inlineWasm() {
  return {
    name: 'inline-wasm',
    resolveId(id) {
      // The build for browsers takes bytes as well as a URL, and bytes need no fetch: no policy can forbid one, and a
      // file that is not served cannot leave the library waiting for ever, which it otherwise does.
      return id === '@bokuweb/zstd-wasm' ? zstdFile('index.web.js') : null;
    },
    async transform(code, id) {
      if (id !== zstdFile('index.web.js')) return null;
      const url = 'new URL(`./zstd.wasm`, import.meta.url).href';
      if (!code.includes(url)) throw new Error(`${id} names its .wasm in another way now`);
      const base64 = (await readFile(zstdFile('zstd.wasm'))).toString('base64');
      return code.replace(url, `Uint8Array.from(atob('${base64}'), (character) => character.charCodeAt(0))`);
    },
  };
}

function zstdFile(name) {
  return join(dirname(require.resolve('@bokuweb/zstd-wasm')), '..', 'web', name);
}

function nameWorker() {
  return {
    name: 'name-worker',
    transform(code, id) {
      if (!id.startsWith(SOURCE) || !code.includes(WORKER.from)) return null;
      return code.replace(WORKER.from, WORKER.to);
    },
  };
}

/** Source files by the name of what is made of them, without the extension. */
function entriesOf(targets) {
  const modules = targets.filter((file) => file?.endsWith('.js') && !file.endsWith('/worker.js'));
  return Object.fromEntries(
    modules.map((file) => {
      const name = relative(FINISHED, join(ROOT, file)).split(sep).join('/').replace(/\.js$/, '');
      return [name, join(SOURCE, `${name}.ts`)];
    }),
  );
}
