// Compares a machine's RAM, which is a file, with its mirror in threads: the MirrorScanner of a machine of this host.

import type { PageSet } from '../../memory/page-set.ts';
import type { Mirror } from '../../tracking/mirror.ts';
import type { MirrorScanner } from '../../tracking/mirror-scanner.ts';
import type { Segment } from '../../tracking/mirror-segment.ts';
import { CURSOR, type MirrorMemory, openMirrorMemory, THREADS } from './mirror-memory.ts';
import { PAGE_BYTES } from './scan-memory.ts';
import { pageThreads, type ThreadPool } from './thread-pool.ts';

interface Part {
  readonly segment: Segment;
  readonly memory: MirrorMemory;
}

export class MirrorThreads implements MirrorScanner {
  readonly #path: string;
  readonly #threads: ThreadPool;
  readonly #parts: readonly Part[];

  /**
   * Of the file at `path`, in which the mirror's regions lie one after another, with pages of 4 KiB. The mirror lies in shared
   * memory. Throws `memory-exhausted`.
   */
  constructor(path: string, mirror: Mirror, threads = pageThreads()) {
    this.#path = path;
    this.#threads = threads;
    const { segments } = mirror;
    let fileOffsetBytes = 0;
    this.#parts = segments.map((segment) => {
      const memory = openMirrorMemory(segment, fileOffsetBytes, threads.size);
      fileOffsetBytes += segment.pageCount * PAGE_BYTES;
      return { segment, memory };
    });
  }

  async prepare(): Promise<void> {
    for (const { memory } of this.#parts) await this.#run({ ...memory, pageCount: 0 }, false);
  }

  compare(differing: readonly PageSet[]): Promise<void> {
    return this.#scan(differing, false);
  }

  take(taken: readonly PageSet[]): Promise<void> {
    return this.#scan(taken, true);
  }

  close(): void {
    this.#threads.endIdleLater();
  }

  async #scan(found: readonly PageSet[], takes: boolean): Promise<void> {
    for (const { segment, memory } of this.#parts) {
      memory.differing.fill(0);
      try {
        await this.#run(memory, takes);
      } finally {
        addFound(memory, segment, found[segment.region.id]!);
      }
    }
  }

  #run(mirror: MirrorMemory, takes: boolean): Promise<void> {
    Atomics.store(mirror.control, CURSOR, 0);
    Atomics.store(mirror.control, THREADS, 0);
    return this.#threads.runOnAll({ kind: 'compare', path: this.#path, mirror, takes });
  }
}

function addFound({ differing }: MirrorMemory, { firstPage, pageCount }: Segment, found: PageSet): void {
  for (let first = 0; first < pageCount; first += 32) {
    let word = differing[first / 32]!;
    while (word !== 0) {
      const bit = 31 - Math.clz32(word & -word);
      found.add(firstPage + first + bit);
      word &= word - 1;
    }
  }
}
