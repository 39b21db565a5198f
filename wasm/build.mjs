// Compiles the kernels: `npm run build:wasm`.
//
// Into src/kernel/generated/, which git ignores, go for each build the binary (`simd.wasm`) and a module that holds
// it in hexadecimal (`simd.ts`), so that a bundler needs no rule for binaries and ships only the build that is imported.
// Nothing is done while the sources, this script and the compiler are the same as last time.
//
// What only threads of a host use, wasm/host, goes into src/host/pages/generated/, each file a module of its own.
//
// The compiled LZ4 library is put into such a module too, src/codec/generated/lz4.ts: inlined by a bundler it would be base64.
//
// A WebAssembly module says whether the memory it imports is shared, in one bit. Rather than two more builds, the
// generated module says where the byte of that bit is, and the loader sets it: see `MEMORY_FLAGS_AT`.

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(SOURCE, '..');
const TARGET = join(ROOT, 'src', 'kernel', 'generated');
const STAMP = join(TARGET, '.stamp');
const LZ4 = join(ROOT, 'src', 'codec', 'generated', 'lz4.ts');
const HOST_SOURCE = join(SOURCE, 'host');
const HOST_TARGET = join(ROOT, 'src', 'host', 'pages', 'generated');
const HOST_NAMES = ['crc32c'];
const WRITTEN = '// Written by wasm/build.mjs; not edited by hand.';

const COMMON = ['-O3', '--noAssert', '--runtime', 'stub'];
/** A memory from outside, of any size up to 4 GiB; a maximum has to be declared for it to be allowed to be shared. */
const MEMORY = ['--importMemory', '--noExportMemory', '--initialMemory', '1', '--maximumMemory', '65536'];
/** What a host's module needs: its memory is its own. */
const OWN_MEMORY = ['--initialMemory', '3', '--maximumMemory', '3'];
const BUILDS = { simd: ['--enable', 'simd'], plain: [] };

const IMPORT_SECTION = 2;
const MEMORY_IMPORT = 2;
const HAS_MAXIMUM = 1;

await writeLz4();
const stamp = await stampOfSources();
if ((await readText(STAMP)) === stamp) process.exit(0);

await mkdir(HOST_TARGET, { recursive: true });
for (const name of HOST_NAMES) {
  const binary = await compile(`wasm/host/${name}.ts`, OWN_MEMORY);
  await replace(join(HOST_TARGET, `${name}.ts`), `${WRITTEN}\n\n${hexOf(binary)}\n`);
  console.log(`kernels of hosts: ${name}, ${binary.length} bytes`);
}
await mkdir(TARGET, { recursive: true });
for (const [name, flags] of Object.entries(BUILDS)) {
  const binary = await compile('wasm/index.ts', [...MEMORY, ...flags]);
  await replace(join(TARGET, `${name}.wasm`), binary);
  await replace(join(TARGET, `${name}.ts`), moduleOf(binary));
  console.log(`kernels: ${name} build, ${binary.length} bytes`);
}
await replace(STAMP, stamp);

/** A digest of everything that the output depends on. */
async function stampOfSources() {
  const compiler = await readFile(join(ROOT, 'node_modules', 'assemblyscript', 'package.json'));
  const hash = createHash('sha256').update(compiler);
  for (const folder of [SOURCE, HOST_SOURCE]) {
    const names = (await readdir(folder)).filter((name) => /\.(ts|mjs)$/.test(name)).sort();
    for (const name of names) hash.update(`\0${name}\0`).update(await readFile(join(folder, name)));
  }
  return hash.digest('hex');
}

/** The binary that the compiler makes of a source. */
async function compile(source, flags) {
  // Only here: loading it takes longer than to see that there is nothing to do.
  const { default: asc } = await import('assemblyscript/asc');
  const written = new Map();
  const args = [source, '--outFile', 'kernels.wasm', ...COMMON, ...flags];
  const { error, stderr } = await asc.main([...args, '--baseDir', ROOT], {
    writeFile: (name, contents) => written.set(name, contents),
  });
  if (error !== null) throw new Error(`the kernels do not compile: ${error.message}\n${stderr.toString()}`);
  return written.get('kernels.wasm');
}

function moduleOf(binary) {
  return [
    WRITTEN,
    '',
    '/** The offset of the byte that is 1 for a memory with a maximum and 3 for a shared one. */',
    `export const MEMORY_FLAGS_AT = ${memoryFlagsAt(binary)};`,
    hexOf(binary),
    '',
  ].join('\n');
}

function hexOf(binary) {
  return [
    '/** Hexadecimal, because bytes that stay whole compress: on the wire it is a fifth smaller than base64. */',
    `export const HEX =\n  '${Buffer.from(binary).toString('hex')}';`,
  ].join('\n');
}

async function writeLz4() {
  const binary = await readFile(createRequire(import.meta.url).resolve('lz4-wasm/lz4_wasm_bg.wasm'));
  const text = [WRITTEN, '', hexOf(binary), ''].join('\n');
  if ((await readText(LZ4)) === text) return;
  await mkdir(dirname(LZ4), { recursive: true });
  await replace(LZ4, text);
}

/** Walks the import section to the limits of the one memory there is. */
function memoryFlagsAt(binary) {
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = binary[at++];
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < binary.length) {
    const section = binary[at++];
    const end = number() + at;
    if (section === IMPORT_SECTION) {
      for (let left = number(); left > 0; left--) {
        for (const _ of ['module', 'name']) {
          const length = number();
          at += length;
        }
        const kind = binary[at++];
        if (kind === MEMORY_IMPORT && binary[at] === HAS_MAXIMUM) return at;
        // A global: its type and whether it can change. The kernels import nothing else.
        at += 2;
      }
    }
    at = end;
  }
  throw new Error('the kernels import no memory with a maximum');
}

/** Whole files only: a test run that starts while another builds sees the old one or the new one. */
async function replace(path, contents) {
  const fresh = `${path}.${process.pid}`;
  await writeFile(fresh, contents);
  await rename(fresh, path);
}

async function readText(path) {
  return readFile(path, 'utf8').catch(() => undefined);
}
