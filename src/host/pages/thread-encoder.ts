// The engine's PageEncoder over the threads of this process.

import type { OwnedBytes } from '../../base/bytes.ts';
import type {
  DecodedFrame,
  FramePlace,
  InspectedPages,
  PageEncoder,
  PageFrame,
  PagesAtHand,
  PagesBefore,
} from '../../engine/page-encoder.ts';
import type { Effort } from '../../format/frame-codecs.ts';
import { type JoinedParts, THREAD_CODECS, THREAD_EFFORT } from './encode-pages.ts';
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

  encode(at: PagesAtHand, pageBytes: number, pages: Uint32Array): Promise<readonly PageFrame[]> {
    return this.#threads.run({ kind: 'encode', at, pageBytes, pages }, buffersOf(at));
  }

  join(parts: readonly OwnedBytes[], ours: number): Promise<JoinedParts> {
    const buffers = new Set(parts.slice(0, ours).map(({ buffer }) => buffer));
    return this.#threads.run({ kind: 'join', parts }, [...buffers]);
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
