// Which folder of src may import which: downward only, ports where ports are enough, and each package in one place.

import { posix } from 'node:path';
import { codeOf, matchesOf, type Problem, type SourceFile } from './tree.ts';

/** The layers, lowest first, as in src/README.md. Within a layer only what `BESIDE` allows. */
const LAYERS = [
  ['base'],
  ['memory'],
  ['kernel', 'format', 'instrument'],
  ['codec', 'store', 'guest', 'tracking'],
  ['engine', 'bridge', 'rewind'],
  ['bundle'],
  ['rpc', 'host'],
  ['testing'],
  ['app'],
] as const satisfies readonly (readonly string[])[];

/** Imports within a layer: a tracker watches a guest, a bridge carries an engine's verbs. */
const BESIDE: Readonly<Record<string, readonly string[]>> = { tracking: ['guest'], bridge: ['engine'] };

/** Who sees ports alone, and which files of a folder are its ports. */
const PORTS_ONLY = ['engine', 'bridge', 'rewind'];
const PORTS: Readonly<Record<string, readonly string[]>> = {
  kernel: ['kernels.ts', 'arena.ts'],
  codec: ['codec.ts'],
  // What every store refuses and how it closes: for stores that lie behind a bridge.
  store: ['store.ts', 'checks.ts', 'lifetime.ts'],
  guest: ['guest.ts', 'doorbell.ts', 'replay.ts'],
  tracking: ['tracker.ts', 'tracker-doorbell.ts', 'follower.ts'],
};

/** Packages by the places that may import them; a new package needs a row, and a reason in its folder's README. */
const PACKAGES: readonly { readonly name: RegExp; readonly places: RegExp }[] = [
  { name: /^node:/, places: /^src\/(store\/fs|host\/)|\.mjs$/ },
  { name: /^comlink$/, places: /^src\/rpc\// },
  { name: /^ws$/, places: /^src\/host\/bridge\// },
  { name: /^idb$/, places: /^src\/store\/idb/ },
  { name: /^(lz4-wasm|@bokuweb\/zstd-wasm)/, places: /^src\/codec\// },
  { name: /^(valibot|cborg)$/, places: /^src\/bridge\// },
  { name: /^v86/, places: /^src\/(guest\/v86\/|app\/)|^workers\// },
  { name: /^rp2040js$/, places: /^src\/guest\/rp2040\// },
  { name: /^@micropython\//, places: /^src\/(guest\/micropython\/|app\/)|^workers\// },
  { name: /^@(xterm|novnc)\//, places: /^src\/app\// },
];

const IMPORT = /\b(?:from|import)\s*\(?\s*'([^'\n]+)'/;

/** What the imports of one file of src or workers break. */
export function importProblems({ path, text }: SourceFile): Problem[] {
  return matchesOf(codeOf(text), IMPORT).flatMap(({ line, match }) => {
    const target = match[1]!;
    const problem = target.startsWith('.') ? relativeProblem(path, target) : packageProblem(path, target);
    return problem === undefined ? [] : [`${path}:${line}: imports ${target}; ${problem}`];
  });
}

function relativeProblem(path: string, target: string): string | undefined {
  const resolved = posix.normalize(posix.join(posix.dirname(path), target.replace(/\?.*$/, '')));
  if (path.startsWith('workers/') || isRoot(path)) {
    return resolved.startsWith('src/') ? undefined : 'a composition root imports from src alone';
  }
  if (!resolved.startsWith('src/'))
    return 'src imports nothing outside src: move what is needed into a layer';
  if (isRoot(resolved)) return 'the entry points are for embedders: import from the layer that has it';
  const from = folderOf(path);
  const to = folderOf(resolved);
  if (from === to) return undefined;
  const [fromLayer, toLayer] = [layerOf(from), layerOf(to)];
  if (fromLayer < 0) return `give ${from} a layer in test/tidy/imports.ts and src/README.md`;
  if (toLayer < 0) return `give ${to} a layer in test/tidy/imports.ts and src/README.md`;
  if (toLayer > fromLayer || (toLayer === fromLayer && !BESIDE[from]?.includes(to))) {
    return `${from} may import lower layers only: take it as an argument or move it down`;
  }
  const ports = PORTS[to];
  if (PORTS_ONLY.includes(from) && ports !== undefined && !ports.includes(posix.basename(resolved))) {
    return `${from} sees ports alone (${to}/${ports.join(', ')}): let the composition root hand it in`;
  }
  return undefined;
}

function packageProblem(path: string, target: string): string | undefined {
  const row = PACKAGES.find(({ name }) => name.test(target));
  if (row === undefined) return 'give the package a row in test/tidy/imports.ts, or do without it';
  return row.places.test(path) ? undefined : `only ${row.places.source} may: use the port it stands behind`;
}

/** A file of src itself, beside the folders: an entry point or its composition. */
function isRoot(path: string): boolean {
  return /^src\/[^/]+$/.test(path);
}

function folderOf(path: string): string {
  return path.split('/')[1]!;
}

function layerOf(folder: string): number {
  return LAYERS.findIndex((folders) => (folders as readonly string[]).includes(folder));
}
