// Reads frames of packs: neighbours of one pack together, decoded by other threads where there is enough for them; what was decoded
// lately is kept.

import type { OwnedBytes } from '../base/bytes.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import { MIB } from '../base/limits.ts';
import type { Codecs } from '../codec/codec.ts';
import type { PackIndex } from '../format/pack-index.ts';
import { decodeFrame, frameRange } from '../format/pack-reader.ts';
import type { Store } from '../store/store.ts';
import { ByteCache } from './byte-cache.ts';
import type { DecodedFrame, FramePlace, PageEncoder } from './page-encoder.ts';

export const PACK_PREFIX = 'packs/';

/** Decoded frames kept: those of a peek, a restore's neighbours, the nodes of a table. */
const FRAME_CACHE_BYTES = 16 * MIB;
/** Neighbouring frames read in one range. */
const MAX_READ_BYTES = 2 * MIB;
/** Frames: half a MiB. With fewer, threads take longer to hear of them than they save. */
const WORTH_THREADS = 8;

/** Frames that were decoded, of each pack. */
export type Frames = ReadonlyMap<PackIndex, ReadonlyMap<number, DecodedFrame>>;

/** Frames to be read, each once. */
export class WantedFrames {
  readonly #ofPacks = new Map<
    PackIndex,
    { readonly pack: string; readonly pageBytes: Map<number, number> }
  >();
  #last: { readonly index: PackIndex; readonly frame: number } | undefined;

  /** `pageBytes` is the length of the pages in it, of which digests are wanted, too; 0 where it holds something else. */
  add(pack: string, index: PackIndex, frame: number, pageBytes: number): void {
    // Pages that were saved together lie together.
    if (this.#last?.index === index && this.#last.frame === frame) return;
    this.#last = { index, frame };
    const ofPack = this.#ofPacks.get(index) ?? { pack, pageBytes: new Map() };
    this.#ofPacks.set(index, ofPack);
    if (!ofPack.pageBytes.has(frame)) ofPack.pageBytes.set(frame, pageBytes);
  }

  entries(): Iterable<
    [PackIndex, { readonly pack: string; readonly pageBytes: ReadonlyMap<number, number> }]
  > {
    return this.#ofPacks;
  }
}

export class FrameReader {
  readonly #store: Store;
  readonly #codecs: Codecs;
  readonly #encoder: PageEncoder | undefined;
  readonly #cache = new ByteCache(FRAME_CACHE_BYTES);

  constructor(store: Store, codecs: Codecs, encoder?: PageEncoder) {
    this.#store = store;
    this.#codecs = codecs;
    this.#encoder = encoder;
  }

  /** Throws `object-missing` where a pack is gone, `object-damaged`, and what the store throws. */
  async read(wanted: WantedFrames): Promise<Frames> {
    const frames = new Map<PackIndex, Map<number, DecodedFrame>>();
    for (const [index, { pack, pageBytes }] of wanted.entries()) {
      const ofPack = new Map<number, DecodedFrame>();
      frames.set(index, ofPack);
      const missing: number[] = [];
      for (const frame of pageBytes.keys()) {
        const cached = this.#cache.get(frameKey(pack, frame));
        if (cached === undefined) missing.push(frame);
        else ofPack.set(frame, { bytes: cached });
      }
      if (missing.length === 0) continue;
      missing.sort((a, b) => a - b);
      await this.#codecs.prepare(missing.map((frame) => index.frame(frame).codec));
      for (const run of neighbours(index, missing)) await this.#readRun(pack, index, run, pageBytes, ofPack);
    }
    return frames;
  }

  async #readRun(
    pack: string,
    index: PackIndex,
    run: readonly number[],
    pageBytes: ReadonlyMap<number, number>,
    frames: Map<number, DecodedFrame>,
  ): Promise<void> {
    const first = frameRange(index, run[0]!);
    const last = frameRange(index, run.at(-1)!);
    const lengthBytes = last.offsetBytes + last.lengthBytes - first.offsetBytes;
    const bytes = await this.#store.get(`${PACK_PREFIX}${pack}`, {
      offsetBytes: first.offsetBytes,
      lengthBytes,
    });
    if (bytes === undefined) throw new VitrineError('object-missing', { pack });
    const places = run.map((frame) => {
      const { offsetBytes, lengthBytes } = frameRange(index, frame);
      const at = { lengthBytes, offsetBytes: offsetBytes - first.offsetBytes };
      return { ...index.frame(frame), ...at, pageBytes: pageBytes.get(frame)! };
    });
    const decoded = await this.#decodeElsewhere(bytes, places);
    for (const [number, frame] of run.entries()) {
      const { offsetBytes: at, lengthBytes: length } = places[number]!;
      const plain = decoded?.[number] ?? {
        bytes: this.#decode(pack, index, frame, bytes.subarray(at, at + length)),
      };
      frames.set(frame, plain);
      this.#cache.set(frameKey(pack, frame), plain.bytes);
    }
  }

  /** The frames' contents by other threads, where there are some and enough to do; undefined where this one has to. */
  async #decodeElsewhere(
    bytes: OwnedBytes,
    places: readonly FramePlace[],
  ): Promise<readonly DecodedFrame[] | undefined> {
    const encoder = this.#encoder;
    if (encoder === undefined || places.length < WORTH_THREADS) return undefined;
    if (!places.every(({ codec }) => encoder.decodes(codec))) return undefined;
    try {
      return await encoder.decode(bytes, places);
    } catch (error) {
      // Which frame it is, decoding them one by one tells; and a thread that ended is no reason not to read.
      if (isVitrineError(error)) return undefined;
      throw error;
    }
  }

  #decode(pack: string, index: PackIndex, frame: number, bytes: OwnedBytes): OwnedBytes {
    try {
      return decodeFrame(index, frame, bytes, this.#codecs);
    } catch (cause) {
      if (!isVitrineError(cause)) throw cause;
      throw new VitrineError('object-damaged', { pack, frame }, { cause });
    }
  }
}

/** Runs of frames that lie one after another, none longer than one read. */
function* neighbours(index: PackIndex, frames: readonly number[]): Generator<number[]> {
  let run: number[] = [];
  let start = 0;
  let end = -1;
  for (const frame of frames) {
    const { offsetBytes, lengthBytes } = frameRange(index, frame);
    if (run.length > 0 && (offsetBytes !== end || offsetBytes + lengthBytes - start > MAX_READ_BYTES)) {
      yield run;
      run = [];
    }
    if (run.length === 0) start = offsetBytes;
    run.push(frame);
    end = offsetBytes + lengthBytes;
  }
  if (run.length > 0) yield run;
}

function frameKey(pack: string, frame: number): string {
  return `${pack}:${frame}`;
}
