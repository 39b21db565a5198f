// `vitrine/vite`: WebAssembly that a page loads, instrumented on its way: while one develops as it is served, in a build as it
// is written. The page's code does not change.
//
// A build names assets by what they hold, before this plugin sees them. So the rewritten module gets a name of its own, the
// chunks that mention it are changed, and their own names depend on the options: no browser takes an old file for a
// new one. Files of the public folder keep their names there, as all in it do.
//
// While one develops, what the server answers is rewritten on its way out, so that its own rules of what may be served
// hold. Nothing is kept between the two: the server's cache headers are taken out.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { type InstrumentOptions, instrument } from '../../instrument/index.ts';
import { type Middleware, rewriteAnswers } from './rewrite-answers.ts';

export interface InstrumentWasmOptions extends InstrumentOptions {
  /** Which modules, by their path or URL with forward slashes, without a query. */
  readonly include: RegExp | ((path: string) => boolean);
}

/** As much of Vite's plugins as is used here, so that its package is not needed. */
export interface InstrumentWasmPlugin {
  readonly name: 'vitrine:instrument-wasm';
  readonly enforce: 'post';
  config(config: UserConfig): { build: { assetsInlineLimit: InlineFunction } };
  configResolved(config: ResolvedConfig): void;
  configureServer(server: { middlewares: { use(middleware: Middleware): unknown } }): void;
  augmentChunkHash(): string;
  generateBundle(options: unknown, bundle: Record<string, BundleEntry>): void;
  writeBundle(options: { dir?: string | undefined }): Promise<void>;
}

type InlineFunction = (file: string, content: Buffer) => boolean | undefined;

interface UserConfig {
  readonly build?: { readonly assetsInlineLimit?: number | InlineFunction | undefined } | undefined;
}

interface ResolvedConfig {
  readonly command: string;
  readonly publicDir: string;
  readonly logger: { error(message: string): void };
}

interface BundleEntry {
  readonly type: 'asset' | 'chunk';
  fileName: string;
  source?: string | Uint8Array;
  readonly originalFileNames?: readonly string[];
  code?: string;
}

/**
 * A Vite plugin that instruments WebAssembly modules: those that code names (`?url`, `?init`, `new URL('x.wasm',
 * import.meta.url)`) and those in the public folder.
 *
 * A module that cannot be rewritten fails the build, and is a 500 of the development server, with the code of its error.
 * Modules that are asked for as text in the code (`?inline`) are left as they are.
 *
 * @example plugins: [instrumentWasm({ include: /dosbox\.wasm$/, marks: true })]
 */
export function instrumentWasm(options: InstrumentWasmOptions): InstrumentWasmPlugin {
  const { include, ...how } = options;
  const wants = (path: string): boolean => {
    const plain = path.replaceAll('\\', '/').replace(/[?#].*$/, '');
    if (!plain.endsWith('.wasm')) return false;
    return typeof include === 'function' ? include(plain) : plain.search(include) >= 0;
  };
  let publicDir = '';
  let isBuild = false;
  let report = (message: string): void => console.error(message);
  return {
    name: 'vitrine:instrument-wasm',
    enforce: 'post',
    config(config) {
      // A small module would become text in the code, where nobody finds it.
      const limit = config.build?.assetsInlineLimit;
      const assetsInlineLimit: InlineFunction = (file, content) => {
        if (wants(file)) return false;
        if (typeof limit === 'function') return limit(file, content);
        return limit === undefined ? undefined : content.length < limit;
      };
      return { build: { assetsInlineLimit } };
    },
    configResolved(config) {
      publicDir = config.publicDir;
      isBuild = config.command === 'build';
      report = (message) => config.logger.error(message);
    },
    configureServer(server) {
      const rewrite = (bytes: Uint8Array): Uint8Array => instrument(bytes, how).bytes;
      server.middlewares.use(rewriteAnswers({ wants, rewrite, report: (message) => report(message) }));
    },
    augmentChunkHash: () => JSON.stringify({ vitrine: how }),
    generateBundle(_, bundle) {
      for (const asset of Object.values(bundle)) {
        if (asset.type !== 'asset' || typeof asset.source === 'string' || asset.source === undefined)
          continue;
        const names = [asset.fileName, ...(asset.originalFileNames ?? [])];
        if (!asset.fileName.endsWith('.wasm') || !names.some(wants)) continue;
        asset.source = instrument(asset.source, how).bytes;
        rename(asset, bundle);
      }
    },
    async writeBundle({ dir }) {
      if (!isBuild || publicDir === '' || dir === undefined) return;
      for (const file of await filesBelow(publicDir)) {
        const copy = join(dir, relative(publicDir, file));
        // Not every build copies it: one for a server does not.
        if (wants(file) && existsSync(copy))
          await writeFile(copy, instrument(await readFile(file), how).bytes);
      }
    },
  };
}

/** Gives the asset a name by what it holds now, and tells the chunks. */
function rename(asset: BundleEntry, bundle: Record<string, BundleEntry>): void {
  const former = asset.fileName;
  const digest = createHash('sha256')
    .update(asset.source ?? '')
    .digest('base64url')
    .slice(0, 8);
  const name = former.replace(/(-[\w-]{8})?\.wasm$/, `-${digest}.wasm`);
  const [formerBase, nameBase] = [former, name].map((path) => path.slice(path.lastIndexOf('/') + 1));
  asset.fileName = name;
  for (const entry of Object.values(bundle)) {
    if (entry.type === 'chunk' && entry.code !== undefined) {
      entry.code = entry.code.replaceAll(formerBase!, nameBase!);
    }
  }
}

/** All files of a folder; none when there is no such folder. */
async function filesBelow(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).split(sep).join('/'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
