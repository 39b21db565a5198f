// A thread of Node that runs a file of the tests: bundled first, since Node 20 reads no TypeScript.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { rolldown } from 'rolldown';

/** A thread and the end of it. */
export interface NodeWorker {
  readonly worker: Worker;
  /** Ends it in the middle of whatever it does. */
  kill(): Promise<void>;
}

const bundles = new Map<string, Promise<string>>();
const folders: string[] = [];

/** Starts a thread on a TypeScript file. */
export async function startNodeWorker(file: URL, workerData: unknown): Promise<NodeWorker> {
  const path = fileURLToPath(file);
  const bundled = bundles.get(path) ?? bundleOf(path);
  bundles.set(path, bundled);
  const worker = new Worker(await bundled, { workerData });
  return {
    worker,
    async kill() {
      await worker.terminate();
    },
  };
}

/** Removes what was written for the threads of a test file. */
export async function removeBundles(): Promise<void> {
  bundles.clear();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
}

async function bundleOf(path: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-worker-'));
  folders.push(folder);
  const bundle = await rolldown({ input: path, platform: 'node', logLevel: 'silent' });
  await bundle.write({ dir: folder, format: 'esm', entryFileNames: 'worker.mjs' });
  await bundle.close();
  return join(folder, 'worker.mjs');
}
