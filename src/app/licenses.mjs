// The license texts of packages whose code a build carries: one text, a package after the other.

import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
/** For packages that forgot theirs. */
const LICENSE_FILES = {
  '@bokuweb/zstd-wasm': join(ROOT, 'src', 'codec', 'zstd-license.txt'),
  '@micropython/micropython-webassembly-pyscript': join(
    ROOT,
    'src',
    'app',
    'guests',
    'micropython-license.txt',
  ),
};
/** Where the source of a package is, which some licenses want said. */
const SOURCES = { '@novnc/novnc': 'https://github.com/novnc/noVNC' };

/** The licenses of the packages of these names. A package that comes without one is an error. */
export async function licensesOf(names) {
  const texts = [];
  for (const name of names) {
    const folder = join(ROOT, 'node_modules', name);
    const { version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
    const source = SOURCES[name] === undefined ? '' : `\nSource, unchanged: ${SOURCES[name]}`;
    texts.push(`${name} ${version}: ${license}${source}\n\n${await licenseText(name, folder, license)}`);
  }
  return texts.join(`\n${'-'.repeat(78)}\n\n`);
}

async function licenseText(name, folder, license) {
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|copying)/i.test(file)).sort();
  // Of two licenses to choose from, the one that package.json names.
  const own = files.find((one) => one.includes(license)) ?? files[0];
  if (LICENSE_FILES[name] === undefined && own === undefined) {
    throw new Error(`${name} comes without its license`);
  }
  const text = await readFile(LICENSE_FILES[name] ?? join(folder, own), 'utf8');
  // noVNC's own file names the licenses of its parts, whose texts lie beside its documentation.
  if (name !== '@novnc/novnc') return text;
  const beside = (await readdir(join(folder, 'docs')))
    .filter((one) => /^LICENSE\.(MPL|BSD-2)/.test(one))
    .sort();
  const parts = await Promise.all(beside.map((one) => readFile(join(folder, 'docs', one), 'utf8')));
  return [text, ...parts].join('\n');
}

/** For a build by Vite: the file `third-party-licenses.txt` beside the page, of packages in it and in its workers. */
export function collectLicenses() {
  const names = new Set();
  const collect = {
    name: 'vitrine-collect-licenses',
    apply: 'build',
    buildEnd() {
      for (const id of this.getModuleIds()) {
        const name = /.*\/node_modules\/((?:@[^/]+\/)?[^/?]+)/.exec(id)?.[1];
        if (name !== undefined && !id.startsWith('\0')) names.add(name);
        // What a build has made of a package has its license.
        if (id.endsWith('/src/codec/generated/lz4.ts')) names.add('lz4-wasm');
      }
    },
  };
  const write = {
    name: 'vitrine-write-licenses',
    apply: 'build',
    async generateBundle() {
      const source = await licensesOf([...names].sort());
      this.emitFile({ type: 'asset', fileName: 'third-party-licenses.txt', source });
    },
  };
  return { page: [collect, write], worker: [collect] };
}
