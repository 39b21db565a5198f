// What a page pays for an engine, the one definition of it: the chunks that a page of the package has loaded when its first save is durable
// (programs/first-save.js), built as `vite build` builds pages, compressed by gzip one by one; engine, kernels, IndexedDB store and codec,
// with the lines that use them, and not the guest. README.md tells it, size.test.ts bounds it, and the bench's row P10 measures it.
// The page of this repository has its engine in a worker, with what calls it from afar: P10 tells that beside it.

import { gzipSync } from 'node:zlib';
import { type BlankProject, makeFolder, removeFolder } from './blank-project.ts';
import { addPages, launch, outcomeOf, serveBuilt } from './pages.ts';

/** `assets/checkpoint-Bx4eUp_J.js`: the chunk's name, and a hash. */
const CHUNK = /\/assets\/([^/]+)-[\w-]{8}\.js$/;
const PROGRAM = 'first-save.js';

/** A chunk's name, and its bytes compressed. */
export type Chunk = readonly [name: string, bytes: number];

export interface Visit {
  /** What the page's program reported. */
  readonly outcome: unknown;
  /** What it had loaded by then. */
  readonly chunks: readonly Chunk[];
}

/** Builds a program of the project as a page and opens it, without the chunks that are `lost`. */
export async function visitPage(
  project: BlankProject,
  program: string,
  lost: readonly string[] = [],
): Promise<Visit> {
  await addPages(project, [program]);
  // Alone: two pages built at once would be cut into chunks by what they have in common.
  const site = await serveBuilt(project, [program]);
  const profile = await makeFolder();
  const context = await launch(profile);
  try {
    const loading: Promise<Chunk>[] = [];
    context.on('response', (response) => {
      const name = CHUNK.exec(response.url())?.[1];
      if (name === undefined || !response.ok()) return;
      loading.push(response.body().then((body) => [name, gzipSync(body).length] as const));
    });
    const isLost = (url: string) => lost.includes(CHUNK.exec(url)?.[1] ?? '');
    await context.route(CHUNK, (route) =>
      isLost(route.request().url()) ? route.fulfill({ status: 404 }) : route.continue(),
    );
    const outcome = await outcomeOf(context, `${site.origin}/${program.replace('.js', '.html')}`, isLost);
    return { outcome, chunks: await Promise.all(loading) };
  } finally {
    await context.close();
    await removeFolder(profile);
    await site.close();
  }
}

/** Saves once in a page of the project: what that took. */
export async function visitFirstSave(project: BlankProject): Promise<Visit> {
  await project.copy(PROGRAM);
  return visitPage(project, PROGRAM);
}

/** Bytes of the engine's chunks, compressed. */
export function engineBytes({ chunks }: Visit): number {
  return chunks.filter(([name]) => name !== 'flat').reduce((total, [, bytes]) => total + bytes, 0);
}
