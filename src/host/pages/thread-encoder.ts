// The engine's PageEncoder over the threads of this process.

import type { OwnedBytes } from '../../base/bytes.ts';
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
} from '../../engine/page-encoder.ts';
import type { Digest } from '../../format/digest.ts';
import type { Effort } from '../../format/frame-codecs.ts';
import { THREAD_CODECS, THREAD_EFFORT } from './encode-pages.ts';
import { PackMemories } from './pack-memories.ts';
import { pageThreads, type ThreadPool } from './thread-pool.ts';

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
  readonly #memories = new PackMemories();

  constructor({ threads = pageThreads(), fewestPages = FEWEST_PAGES }: ThreadEncoderOptions = {}) {
    this.fewestPages = fewestPages;
    this.#threads = threads;
    this.lanes = LANES_PER_THREAD * threads.size;
  }

  takes(effort: Effort): boolean {
    return effort === THREAD_EFFORT;
  }

  inspect(at: PagesAtHand, pageBytes: number, past?: PagesBefore): Promise<InspectedPages> {
    if (past === undefined || past.of.length === 0) {
      return this.#threads.run({ kind: 'inspect', at, pageBytes }, buffersOf(at));
    }
    return this.#threads.run({ kind: 'inspect', at, pageBytes, past }, [...buffersOf(at), past.bytes.buffer]);
  }

  takeMemory(): PackMemory {
    return this.#memories.take();
  }

  giveBack(memory: PackMemory): void {
    this.#memories.giveBack(memory);
  }

  encode(
    at: PagesAtHand,
    pageBytes: number,
    pages: Uint32Array,
    _effort: Effort,
    into: PackPlace,
  ): Promise<EncodedPages> {
    return this.#threads.run({ kind: 'encode', at, pageBytes, pages, into }, buffersOf(at));
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
}

/** What goes to the thread and is gone here. */
function buffersOf(at: PagesAtHand): ArrayBuffer[] {
  return at.kind === 'own' ? [at.bytes.buffer] : [];
}
