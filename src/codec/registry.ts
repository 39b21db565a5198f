// Codecs by id, each loaded when it is first prepared for, and which of them each effort tries. After that everything is
// synchronous.

import { VitrineError } from '../base/error.ts';
import type { Effort, EncodedFrame } from '../format/frame-codecs.ts';
import type { Codec, Codecs } from './codec.ts';
import { LZ4_ID } from './lz4.ts';
import { RAW_ID } from './raw.ts';
import { SPARSE_LZ4_ID, SPARSE_ZSTD_ID } from './sparse.ts';
import { ZSTD_ID } from './zstd.ts';

export type CodecLoaders = ReadonlyMap<number, () => Promise<Codec>>;

/** Tried in this order, the likely winner first; of equals the first wins. What none of them makes smaller stays raw. */
const TRIED = {
  none: [],
  fast: [SPARSE_LZ4_ID, LZ4_ID],
  balanced: [SPARSE_ZSTD_ID, ZSTD_ID, LZ4_ID],
  small: [SPARSE_ZSTD_ID, ZSTD_ID, LZ4_ID],
} as const satisfies Record<Effort, readonly number[]>;

/** A frame that a codec made this much smaller is not tried with the next: sparse ones are, and would only take longer. */
const SMALL_ENOUGH = 1 / 8;

/** The codecs that have to be prepared to save with an effort. Throws `argument-invalid` for one that there is not. */
export function codecsOf(effort: Effort): readonly number[] {
  if (!Object.hasOwn(TRIED, effort)) {
    throw new VitrineError('argument-invalid', {
      name: 'effort',
      value: String(effort),
      known: Object.keys(TRIED),
    });
  }
  return [RAW_ID, ...TRIED[effort]];
}

/** The codecs that have loaders; those of `fast` are ready, others after `prepare`. Throws `kernel-unavailable`. */
export async function openCodecs(loaders: CodecLoaders): Promise<Codecs> {
  const codecs = new CodecRegistry(loaders);
  await codecs.prepare(codecsOf('fast'));
  return codecs;
}

class CodecRegistry implements Codecs {
  readonly #loaders: CodecLoaders;
  readonly #ready = new Map<number, Codec>();
  readonly #loading = new Map<number, Promise<void>>();

  constructor(loaders: CodecLoaders) {
    this.#loaders = loaders;
  }

  async prepare(ids: Iterable<number>): Promise<void> {
    await Promise.all(Array.from(new Set(ids), (id) => this.#load(id)));
  }

  prepareEffort(effort: Effort): Promise<void> {
    return this.prepare(codecsOf(effort));
  }

  byId(id: number): Codec {
    const codec = this.#ready.get(id);
    if (codec !== undefined) return codec;
    if (!this.#loaders.has(id)) throw new VitrineError('codec-unknown', { codec: id });
    throw new VitrineError('wrong-state', { codec: id, required: 'prepared' });
  }

  encodeSmallest(bytes: Uint8Array, effort: Effort): EncodedFrame {
    let smallest: EncodedFrame | undefined;
    for (const id of TRIED[effort]) {
      const encoded = this.byId(id).encode(bytes, effort);
      if (encoded !== undefined && encoded.length < (smallest?.bytes ?? bytes).length) {
        smallest = { codec: id, bytes: encoded };
        if (encoded.length <= bytes.length * SMALL_ENOUGH) break;
      }
    }
    return smallest ?? { codec: RAW_ID, bytes };
  }

  #load(id: number): Promise<void> {
    const loader = this.#loaders.get(id);
    if (loader === undefined) return Promise.reject(new VitrineError('codec-unknown', { codec: id }));
    let loading = this.#loading.get(id);
    if (loading === undefined) {
      loading = loader().then(
        (codec) => {
          this.#ready.set(id, codec);
        },
        (error: unknown) => {
          // The next call tries again: a chunk that did not load may load later.
          this.#loading.delete(id);
          throw error;
        },
      );
      this.#loading.set(id, loading);
    }
    return loading;
  }
}
