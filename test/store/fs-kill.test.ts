// Real processes on a real directory, killed at random points (SIGKILL): after each the store opens, the ref is where
// the process said it was or one further, every object is whole, and the lock is free again.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { equalBytes } from '../../src/base/bytes.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';
import { objectOf, REF, stepOf } from './fs-kill-work.ts';

const ROUNDS = 8;

const root = await mkdtemp(join(tmpdir(), 'vitrine-kill-'));
const directory = join(root, 'store');
const program = join(root, 'fs-kill-child.js');

beforeAll(async () => {
  await build({
    configFile: false,
    logLevel: 'error',
    build: { ssr: join(import.meta.dirname, 'fs-kill-child.ts'), outDir: root, emptyOutDir: false },
  });
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** A process at work, and the last step that it reported. */
class Worker {
  readonly #process: ChildProcess;
  readonly #exit: Promise<void>;
  #onReport: () => void = () => {};
  #errors = '';
  step = 0;
  reports = 0;

  constructor(prefix: string) {
    this.#process = spawn(process.execPath, [program, directory, prefix], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#exit = new Promise((resolve) => this.#process.once('close', () => resolve()));
    this.#process.stderr?.on('data', (text) => {
      this.#errors += String(text);
    });
    this.#process.stdout?.on('data', (text) => {
      const lines = String(text).trim().split('\n');
      this.reports += lines.length;
      this.step = Number(lines.at(-1));
      this.#onReport();
    });
  }

  /** Resolves after that many reports, throws when the process ends before. */
  async reported(count: number): Promise<void> {
    const enough = new Promise<void>((resolve) => {
      this.#onReport = () => this.reports >= count && resolve();
      this.#onReport();
    });
    const early = this.#exit.then(() => {
      throw new Error(`the process ended by itself: ${this.#errors}`);
    });
    await Promise.race([enough, early]);
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exit;
  }
}

describe('fs store of killed processes', () => {
  it(`loses nothing that they reported, in ${ROUNDS} rounds`, { timeout: 60_000 }, async () => {
    const seed = seedOfRun();
    const random = new Random(seed);
    for (let round = 0; round < ROUNDS; round++) {
      const workers = Array.from({ length: 1 + (round % 2) }, (_, i) => new Worker(`${round}-${i}`));
      await workers[0]!.reported(1 + random.below(12));
      // Somewhere in the steps after the report: turns of the event loop, not time.
      for (let turns = random.below(300); turns > 0; turns--)
        await new Promise((resolve) => setImmediate(resolve));
      for (const worker of workers) await worker.kill();

      const reported = Math.max(...workers.map((worker) => worker.step));
      const where = `SEED=${seed} round ${round}`;
      const store = await openFsStore(directory);
      for (const key of await store.list('packs/')) {
        expect(`${where} ${key} ${equalBytes((await store.get(key))!, objectOf(key))}`).toBe(
          `${where} ${key} true`,
        );
      }
      const held = (await store.get(REF))!;
      const { step, name } = stepOf(held);
      expect([where, step >= reported]).toEqual([where, true]);
      // Each process had at most one move under way.
      expect([where, step <= reported + workers.length]).toEqual([where, true]);
      expect([where, await store.get(name)]).not.toEqual([where, undefined]);
      await store.compareAndSwap(REF, held, held);
      await store.close();
    }
  });
});
