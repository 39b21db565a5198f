// Objects by digest: where each one lies, and its bytes, proven.
//
//   digest ─ObjectIndex─▶ pack, entry ─store.get(range)─▶ frame ─codec─▶ payload ─fill, xor─▶ bytes ─BLAKE3─▶ proven
//
// Frames are read many at a time, neighbours in one range, and the last ones are kept. The index of all packs is in
// memory; it is read from the small `indexes/` records, not from the packs.

import type { OwnedBytes } from '../base/bytes.ts';
import { toHex } from '../base/bytes.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import { LIMITS, MIB } from '../base/limits.ts';
import type { Codecs } from '../codec/codec.ts';
import { type Digest, digestKey } from '../format/digest.ts';
import { ObjectIndex } from '../format/object-index.ts';
import { decodeIndex, type PackIndex } from '../format/pack-index.ts';
import { decodeFrame, frameRange, objectPayload } from '../format/pack-reader.ts';
import type { Store } from '../store/store.ts';
import { ByteCache } from './byte-cache.ts';
import type { Digester } from './digester.ts';

export const PACK_PREFIX = 'packs/';
export const INDEX_PREFIX = 'indexes/';

/** Decoded frames kept: those of a peek, a restore's neighbours, the nodes of a table. */
const FRAME_CACHE_BYTES = 16 * MIB;
/** Objects kept in full: nodes mostly, read at each save. */
const OBJECT_CACHE_BYTES = 8 * MIB;
/** Neighbouring frames read in one range. */
const MAX_READ_BYTES = 2 * MIB;

interface Location {
  readonly pack: string;
  readonly index: PackIndex;
  readonly entry: number;
}

export class Objects {
  readonly #store: Store;
  readonly #codecs: Codecs;
  readonly #digester: Digester;
  readonly #index = new ObjectIndex();
  readonly #packs = new Map<string, PackIndex>();
  readonly #frames = new ByteCache(FRAME_CACHE_BYTES);
  readonly #plain = new ByteCache(OBJECT_CACHE_BYTES);

  private constructor(store: Store, codecs: Codecs, digester: Digester) {
    this.#store = store;
    this.#codecs = codecs;
    this.#digester = digester;
  }

  static async open(store: Store, codecs: Codecs, digester: Digester): Promise<Objects> {
    const objects = new Objects(store, codecs, digester);
    await objects.refresh();
    return objects;
  }

  /** Names of all packs known. */
  get packs(): ReadonlyMap<string, PackIndex> {
    return this.#packs;
  }

  /** Learns of packs that others wrote or removed. */
  async refresh(): Promise<void> {
    const present = new Set((await this.#store.list(INDEX_PREFIX)).map((key) => key.slice(INDEX_PREFIX.length)));
    for (const name of [...this.#packs.keys()]) if (!present.has(name)) this.removePack(name);
    for (const name of present) {
      if (this.#packs.has(name)) continue;
      const bytes = await this.#store.get(`${INDEX_PREFIX}${name}`);
      // Gone since it was listed: its pack is being collected.
      if (bytes !== undefined) this.addPack(name, decodeIndex(bytes));
    }
  }

  addPack(name: string, index: PackIndex): void {
    this.#packs.set(name, index);
    this.#index.add(name, index);
  }

  removePack(name: string): void {
    this.#packs.delete(name);
    this.#index.remove(name);
  }

  has(digest: Digest): boolean {
    return this.#index.find(digest) !== undefined;
  }

  /** How many deltas have to be undone to read an object; undefined when it is not here. */
  depthOf(digest: Digest): number | undefined {
    const found = this.#index.find(digest);
    return found === undefined ? undefined : this.#packs.get(found.pack)!.depthAt(found.entry);
  }

  /** The object that `digest` is a delta against; null when it stands alone, undefined when it is not here. */
  baseOf(digest: Digest): Digest | null | undefined {
    const found = this.#index.find(digest);
    return found === undefined ? undefined : this.#packs.get(found.pack)!.baseAt(found.entry);
  }

  /** One object. See `readMany`. */
  async read(digest: Digest): Promise<Uint8Array> {
    return (await this.readMany([digest]))[0]!;
  }

  /**
   * The bytes of objects, in the order asked for, each proven by its digest. They are shared with the cache: do not
   * write to them.
   *
   * Throws `object-missing` when one is not in the store, `object-damaged` when one does not match its digest or
   * cannot be decoded; other objects of the store stay readable.
   */
  async readMany(digests: readonly Digest[]): Promise<Uint8Array[]> {
    const found = new Map<string, Uint8Array>();
    await this.#collect(digests, found, 0);
    return digests.map((digest) => found.get(digestKey(digest))!);
  }

  async #collect(digests: readonly Digest[], found: Map<string, Uint8Array>, depth: number): Promise<void> {
    if (depth > LIMITS.maxDeltaDepth) throw damaged(digests[0]!, 'delta chain too long');
    const wanted = new Map<string, Location>();
    for (const digest of digests) {
      const key = digestKey(digest);
      if (found.has(key) || wanted.has(key)) continue;
      const cached = this.#plain.get(key);
      if (cached !== undefined) found.set(key, cached);
      else wanted.set(key, await this.#locate(digest));
    }
    if (wanted.size === 0) return;
    const bases = [...wanted.values()].flatMap(({ index, entry }) => index.baseAt(entry) ?? []);
    if (bases.length > 0) await this.#collect(bases, found, depth + 1);
    const frames = await this.#readFrames([...wanted.values()]);
    const objects = [...wanted.values()].map((location) => this.#materialise(location, frames, found));
    const proofs = this.#digester.digestAll(objects);
    for (const [at, [key, { index, entry }]] of [...wanted].entries()) {
      if (digestKey(proofs as Digest, at * 32) !== key) throw damaged(index.digestAt(entry), 'digest differs');
      found.set(key, objects[at]!);
      if (index.kindAt(entry) === 'node') this.#plain.set(key, objects[at]!);
    }
  }

  async #locate(digest: Digest): Promise<Location> {
    let found = this.#index.find(digest);
    if (found === undefined) {
      await this.refresh();
      found = this.#index.find(digest);
    }
    if (found === undefined) throw new VitrineError('object-missing', { object: toHex(digest) });
    return { pack: found.pack, index: this.#packs.get(found.pack)!, entry: found.entry };
  }

  #materialise(
    { pack, index, entry }: Location,
    frames: ReadonlyMap<string, Uint8Array>,
    found: ReadonlyMap<string, Uint8Array>,
  ): Uint8Array {
    const lengthBytes = index.lengthAt(entry);
    const transform = index.transformAt(entry);
    if (transform === 'fill') return repeat(index.patternAt(entry), lengthBytes);
    const frame = frames.get(frameKey(pack, index.frameAt(entry)))!;
    const payload = objectPayload(frame, index, entry);
    if (transform === 'plain') return payload;
    const base = found.get(digestKey(index.baseAt(entry)!))!;
    if (base.length !== lengthBytes) throw damaged(index.digestAt(entry), 'base of another length');
    const bytes = new Uint8Array(lengthBytes);
    for (let i = 0; i < lengthBytes; i++) bytes[i] = payload[i]! ^ base[i]!;
    return bytes;
  }

  /** Decodes the frames of `locations`, neighbours of one pack read together. */
  async #readFrames(locations: readonly Location[]): Promise<Map<string, Uint8Array>> {
    const frames = new Map<string, Uint8Array>();
    const missing = new Map<string, Set<number>>();
    for (const { pack, index, entry } of locations) {
      if (index.transformAt(entry) === 'fill') continue;
      const frame = index.frameAt(entry);
      const key = frameKey(pack, frame);
      const cached = frames.get(key) ?? this.#frames.get(key);
      if (cached !== undefined) frames.set(key, cached);
      else missing.set(pack, (missing.get(pack) ?? new Set()).add(frame));
    }
    for (const [pack, numbers] of missing) {
      const index = this.#packs.get(pack)!;
      await this.#codecs.prepare([...numbers].map((frame) => index.frameCodec(frame)));
      for (const run of neighbours(index, [...numbers].sort((a, b) => a - b))) {
        await this.#readRun(pack, index, run, frames);
      }
    }
    return frames;
  }

  async #readRun(
    pack: string,
    index: PackIndex,
    run: readonly number[],
    frames: Map<string, Uint8Array>,
  ): Promise<void> {
    const first = frameRange(index, run[0]!);
    const last = frameRange(index, run.at(-1)!);
    const lengthBytes = last.offsetBytes + last.lengthBytes - first.offsetBytes;
    const bytes = await this.#store.get(`${PACK_PREFIX}${pack}`, { offsetBytes: first.offsetBytes, lengthBytes });
    if (bytes === undefined) throw new VitrineError('object-missing', { pack });
    for (const frame of run) {
      const { offsetBytes, lengthBytes: length } = frameRange(index, frame);
      const at = offsetBytes - first.offsetBytes;
      const plain = this.#decode(pack, index, frame, bytes.subarray(at, at + length) as OwnedBytes);
      frames.set(frameKey(pack, frame), plain);
      this.#frames.set(frameKey(pack, frame), plain);
    }
  }

  #decode(pack: string, index: PackIndex, frame: number, bytes: OwnedBytes): Uint8Array {
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

function repeat(pattern: Uint8Array, lengthBytes: number): OwnedBytes {
  const bytes = new Uint8Array(lengthBytes);
  for (let at = 0; at < lengthBytes; at += pattern.length) {
    bytes.set(pattern.subarray(0, Math.min(pattern.length, lengthBytes - at)), at);
  }
  return bytes;
}

function frameKey(pack: string, frame: number): string {
  return `${pack}:${frame}`;
}

function damaged(digest: Digest, reason: string): VitrineError {
  return new VitrineError('object-damaged', { object: toHex(digest), reason });
}
