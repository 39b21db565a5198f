// The RAM of a machine as threads see it: a file of several regions, and the bytes that a test writes into it.

import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { ThreadPool } from '../../src/host/pages/thread-pool.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import type { Region } from '../../src/memory/region.ts';

export const PAGE = 4096;

export class RamFile {
  /** Pages of each region. */
  readonly counts: readonly number[];
  readonly regions: readonly Region[];
  /** What the file has after `write`, region after region. */
  readonly ram: Uint8Array;

  /** A folder of the test's own. */
  directory!: string;
  path!: string;
  threads!: ThreadPool;

  /** To be made where tests are told of: each begins with zeros, without a file, and with threads that never worked. */
  constructor(counts: readonly number[]) {
    this.counts = counts;
    this.ram = new Uint8Array(counts.reduce((sum, count) => sum + count, 0) * PAGE);
    this.regions = counts.map((count, id) => ({
      ...{ id, name: `ram-${id}`, kind: 'ram', guestAddress: null },
      ...{ sizeBytes: count * PAGE, pageBytes: PAGE },
    }));
    beforeEach(async () => {
      this.directory = await mkdtemp(join(tmpdir(), 'vitrine-ram-'));
      this.path = join(this.directory, 'ram');
      this.threads = new ThreadPool(3);
      this.ram.fill(0);
    });
    afterEach(async () => {
      await this.threads.close();
      await rm(this.directory, { recursive: true, force: true });
    });
  }

  write(): Promise<void> {
    return writeFile(this.path, this.ram);
  }

  /** Leaves so many bytes of the file. */
  cut(lengthBytes: number): Promise<void> {
    return truncate(this.path, lengthBytes);
  }

  /** A page in `ram`. */
  page(region: number, page: number): Uint8Array {
    const before = this.counts.slice(0, region).reduce((sum, count) => sum + count, 0);
    return this.ram.subarray((before + page) * PAGE, (before + page + 1) * PAGE);
  }

  /** An empty set a region. */
  sets(): PageSet[] {
    return this.counts.map((count) => new PageSet(count));
  }
}
