// The engine's PageEncoder over the threads of this process.

import { assert } from '../../base/assert.ts';
import type { OwnedBytes } from '../../base/bytes.ts';
import { LIMITS, MIB } from '../../base/limits.ts';
import type {
  DecodedFrame,
  EncodedPages,
  FramePlace,
  InspectedPages,
  PackMemory,
  PackPlace,
  PageEncoder,
  PagesAtHand,
  PagesBefore,
  PagesInFile,
} from '../../engine/page-encoder.ts';
import type { Digest } from '../../format/digest.ts';
import type { Effort } from '../../format/frame-codecs.ts';
import { THREAD_CODECS, THREAD_EFFORTS } from './encode-pages.ts';
import { type SharedBytes, SharedMemories } from './shared-memories.ts';
import { pageThreads, type ThreadPool } from './thread-pool.ts';

/** What a save on two cores uses. */
const MOST_IDLE_PACKS = 8;
const MOST_IDLE_BATCHES = 16;

/** Pages of a file that are read at a time, at most. */
const BATCH_BYTES = MIB;

/** Batches a thread: one that it works on, and one that waits so that it need not. */
const LANES_PER_THREAD = 2;

/** 4 MiB of the usual size: about as long as a thread takes to start. */
const FEWEST_PAGES = 1024;

export interface ThreadEncoderOptions {
  readonly threads?: ThreadPool;
  readonly fewestPages?: number;
}

export class ThreadEncoder implements PageEncoder {
  readonly lanes: number;
  readonly fewestPages: number;
  readonly #threads: ThreadPool;
  readonly #packs = new SharedMemories(LIMITS.packBytes, MOST_IDLE_PACKS);
  readonly #batches = new SharedMemories(BATCH_BYTES, MOST_IDLE_BATCHES);
  /** Where pages of a file are, until they are released. */
  readonly #lent = new WeakMap<SharedArrayBuffer, SharedBytes>();

  constructor({ threads = pageThreads(), fewestPages = FEWEST_PAGES }: ThreadEncoderOptions = {}) {
    this.fewestPages = fewestPages;
    this.#threads = threads;
    this.lanes = LANES_PER_THREAD * threads.size;
  }

  takes(effort: Effort): boolean {
    return THREAD_EFFORTS.includes(effort);
  }

  async inspect(
    at: PagesAtHand | PagesInFile,
    pageBytes: number,
    past?: PagesBefore,
  ): Promise<InspectedPages> {
    if (at.kind === 'file') return this.#read(at, pageBytes);
    if (past === undefined || past.of.length === 0) {
      return this.#threads.run({ kind: 'inspect', at, pageBytes }, buffersOf(at));
    }
    return this.#threads.run({ kind: 'inspect', at, pageBytes, past }, [...buffersOf(at), past.bytes.buffer]);
  }

  release(at: PagesAtHand): void {
    const memory = at.kind === 'shared' ? this.#lent.get(at.places.buffer) : undefined;
    if (memory === undefined) return;
    this.#lent.delete(memory.buffer);
    this.#batches.giveBack(memory);
  }

  takeMemory(): PackMemory {
    return this.#packs.take();
  }

  giveBack(memory: PackMemory): void {
    // Safe: it was taken here.
    this.#packs.giveBack(memory as SharedBytes);
  }

  encode(
    at: PagesAtHand,
    pageBytes: number,
    pages: Uint32Array,
    effort: Effort,
    into: PackPlace,
  ): Promise<EncodedPages> {
    return this.#threads.run({ kind: 'encode', at, pageBytes, pages, effort, into }, buffersOf(at));
  }

  digest(memory: PackMemory, lengthBytes: number): Promise<Digest> {
    return this.#threads.run({ kind: 'digest', bytes: memory.subarray(0, lengthBytes) });
  }

  decodes(codec: number): boolean {
    return THREAD_CODECS.includes(codec);
  }

  decode(bytes: OwnedBytes, frames: readonly FramePlace[]): Promise<readonly DecodedFrame[]> {
    return this.#threads.run({ kind: 'decode', bytes, frames });
  }

  async #read(at: PagesInFile, pageBytes: number): Promise<InspectedPages> {
    assert(at.pages.length * pageBytes <= BATCH_BYTES, 'a batch has its room');
    const into = this.#batches.take();
    const read = await this.#threads.run({ kind: 'read', at, pageBytes, into });
    this.#lent.set(into.buffer, into);
    // What came back is another view on the same memory.
    const places = { buffer: into.buffer, atBytes: 0 };
    return { ...read, at: { kind: 'shared', places, pages: Uint32Array.from(at.pages.keys()) } };
  }
}

/** What goes to the thread and is gone here. */
function buffersOf(at: PagesAtHand): ArrayBuffer[] {
  return at.kind === 'own' ? [at.bytes.buffer] : [];
}
