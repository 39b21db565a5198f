// Objects by digest: where each one lies, and its bytes, proven.
//
//   digest ─ObjectIndex─▶ pack, entry ─store.get(range)─▶ frame ─codec─▶ payload ─fill, xor─▶ bytes ─BLAKE3─▶ proven
//
// Frames are read many at a time, neighbours in one range, and the last ones are kept. The index of all packs is in
// memory. A pack ends with its index; large ones have it a second time under `indexes/`, so that they need not be read for
// it. What counts is the pack: without that record it is read whole, and a record without its pack tells of nothing.

import { type OwnedBytes, toHex } from '../base/bytes.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import { LIMITS, MIB } from '../base/limits.ts';
import type { Codecs } from '../codec/codec.ts';
import { compareDigests, DIGEST_BYTES, type Digest, digestKey, isZeroDigest } from '../format/digest.ts';
import { ObjectIndex, type ObjectPlace } from '../format/object-index.ts';
import {
  fillContent,
  type ObjectEntry,
  objectPayload,
  type PayloadPlace,
  type PlainEntry,
  xorContent,
} from '../format/pack-entry.ts';
import { decodeIndex, type PackIndex } from '../format/pack-index.ts';
import { readPackIndex } from '../format/pack-reader.ts';
import { isPageBytes } from '../memory/region.ts';
import type { Store } from '../store/store.ts';
import { ByteCache } from './byte-cache.ts';
import type { Digester } from './digester.ts';
import { FrameReader, type Frames, PACK_PREFIX, WantedFrames } from './frame-reader.ts';
import type { DecodedFrame, PageEncoder } from './page-encoder.ts';

export const INDEX_PREFIX = 'indexes/';

/** Objects kept in full: nodes mostly, read at each save. */
const OBJECT_CACHE_BYTES = 8 * MIB;
interface Location {
  readonly pack: string;
  readonly index: PackIndex;
  readonly entry: ObjectEntry;
}

export class Objects {
  readonly #store: Store;
  readonly #digester: Digester;
  readonly #index = new ObjectIndex();
  readonly #frames: FrameReader;
  readonly #plain = new ByteCache(OBJECT_CACHE_BYTES);

  private constructor(store: Store, codecs: Codecs, digester: Digester, encoder?: PageEncoder) {
    this.#frames = new FrameReader(store, codecs, encoder);
    this.#store = store;
    this.#digester = digester;
  }

  static async open(
    store: Store,
    codecs: Codecs,
    digester: Digester,
    encoder?: PageEncoder,
  ): Promise<Objects> {
    const objects = new Objects(store, codecs, digester, encoder);
    await objects.refresh();
    return objects;
  }

  /** All packs known, by name. */
  get packs(): ReadonlyMap<string, PackIndex> {
    return new Map(this.#index.packKeys().map((name) => [name, this.#index.packIndex(name)!]));
  }

  /** Learns of packs that others wrote or removed. */
  async refresh(): Promise<void> {
    const packs = new Set(await this.#names(PACK_PREFIX));
    const indexes = new Set(await this.#names(INDEX_PREFIX));
    for (const name of this.#index.packKeys()) if (!packs.has(name)) this.removePack(name);
    for (const name of packs) {
      if (this.#index.packIndex(name) !== undefined) continue;
      const index = await this.#readIndex(name, indexes.has(name));
      if (index !== undefined) this.addPack(name, index);
    }
  }

  /** The index of a pack; undefined when the pack is gone since it was listed. */
  async #readIndex(name: string, hasRecord: boolean): Promise<PackIndex | undefined> {
    const record = hasRecord ? await this.#store.get(`${INDEX_PREFIX}${name}`) : undefined;
    if (record !== undefined) return decodeIndex(record);
    const pack = await this.#store.get(`${PACK_PREFIX}${name}`);
    return pack === undefined ? undefined : readPackIndex(pack);
  }

  async #names(prefix: string): Promise<string[]> {
    return (await this.#store.list(prefix)).map((key) => key.slice(prefix.length));
  }

  addPack(name: string, index: PackIndex): void {
    this.#index.add(name, index);
  }

  /** Remembers a node that is being written, so that the next save need not read it. */
  keepNode(digest: Digest, bytes: OwnedBytes): void {
    this.#plain.set(digestKey(digest), bytes);
  }

  removePack(name: string): void {
    this.#index.remove(name);
  }

  /**
   * Whether the object with the digest at `offset` is here and all that it is told from is too. `broken` is one that lost its base, as media can
   * lose it: it is as good as absent, but a new copy must stand alone, or the old one would be read instead.
   */
  presence(digest: Uint8Array, offset = 0): 'present' | 'absent' | 'broken' {
    let place = this.#index.find(digest, offset);
    if (place === undefined) return 'absent';
    for (let depth = 0; depth <= LIMITS.maxDeltaDepth; depth++) {
      if (place.index.transformAt(place.entry) !== 'xor') return 'present';
      place = this.#index.find(place.index.baseAt(place.entry));
      if (place === undefined) return 'broken';
    }
    return 'broken';
  }

  /** How many deltas have to be undone to read an object; undefined when it is not here. */
  depthOf(digest: Digest): number | undefined {
    const place = this.#index.find(digest);
    return place?.index.depthAt(place.entry);
  }

  /** The object that a chain of deltas begins with, which is none itself; undefined when the chain is broken. */
  startOf(digest: Digest): Digest | undefined {
    let start = digest;
    for (let depth = 0; depth <= LIMITS.maxDeltaDepth; depth++) {
      const place = this.#index.find(start);
      if (place === undefined) return undefined;
      if (place.index.transformAt(place.entry) !== 'xor') return start;
      start = place.index.baseAt(place.entry);
    }
    return undefined;
  }

  /** One object. See `readMany`. */
  async read(digest: Digest): Promise<OwnedBytes> {
    return (await this.readMany([digest]))[0]!;
  }

  /**
   * The bytes of objects, in the order asked for, each proven by its digest. They are shared with the cache: do not
   * write to them.
   *
   * Throws `object-missing` when one is not in the store, `object-damaged` when one does not match its digest or
   * cannot be decoded; other objects of the store stay readable.
   */
  async readMany(digests: readonly Digest[]): Promise<OwnedBytes[]> {
    try {
      return await this.#readAll(digests);
    } catch (error) {
      if (!isVitrineError(error, 'object-missing')) throw error;
      // Another engine may have collected and moved it: its new pack is found after a look at the store.
      await this.refresh();
      return this.#readAll(digests);
    }
  }

  /**
   * The contents of pages whose digests lie one after another, proven as by `readMany`, without a text and a record for each; undefined
   * for zeros.
   */
  async readPages(digests: Uint8Array): Promise<(Uint8Array | undefined)[]> {
    const contents: (Uint8Array | undefined)[] = new Array(digests.length / DIGEST_BYTES).fill(undefined);
    const places = new Map<number, ObjectPlace>();
    const others: number[] = [];
    const wanted = new WantedFrames();
    for (let page = 0; page < contents.length; page++) {
      if (isZeroDigest(digests, page * DIGEST_BYTES)) continue;
      const place = this.#index.find(digests, page * DIGEST_BYTES);
      if (place === undefined || place.index.transformAt(place.entry) !== 'plain') others.push(page);
      else {
        const { pack, index, entry } = place;
        const lengthBytes = index.lengthAt(entry);
        wanted.add(pack, index, index.frameAt(entry), isPageBytes(lengthBytes) ? lengthBytes : 0);
        places.set(page, place);
      }
    }
    const frames = await this.#framesIfThere(wanted);
    const toDigest: number[] = [];
    if (frames === undefined) others.push(...places.keys());
    else {
      for (const [page, { index, entry }] of places) {
        const frame = frames.get(index)!.get(index.frameAt(entry))!;
        const place = {
          ...{ frame: index.frameAt(entry), offsetBytes: index.offsetAt(entry) },
          lengthBytes: index.lengthAt(entry),
        };
        const digest = digests.subarray(page * DIGEST_BYTES, (page + 1) * DIGEST_BYTES);
        contents[page] = asDamage(digest, () => objectPayload(frame.bytes, place));
        const offset = digestOffset(frame, place);
        if (offset === undefined) toDigest.push(page);
        else if (compareDigests(frame.digests!, digest, offset) !== 0)
          throw damaged(digest, 'digest differs');
      }
    }
    const proofs = this.#digester.digestAll(toDigest.map((page) => contents[page]!));
    for (const [number, page] of toDigest.entries()) {
      if (compareDigests(proofs, digests, number * DIGEST_BYTES, page * DIGEST_BYTES) !== 0)
        throw damaged(digests.subarray(page * DIGEST_BYTES, (page + 1) * DIGEST_BYTES), 'digest differs');
    }
    const named = others.map(
      (page) => digests.slice(page * DIGEST_BYTES, (page + 1) * DIGEST_BYTES) as Digest,
    );
    for (const [number, bytes] of (await this.readMany(named)).entries()) contents[others[number]!] = bytes;
    return contents;
  }

  /** Undefined where a pack is gone: another engine may have collected it, and `readMany` looks for where its objects are now. */
  async #framesIfThere(wanted: WantedFrames): Promise<Frames | undefined> {
    try {
      return await this.#frames.read(wanted);
    } catch (error) {
      if (isVitrineError(error, 'object-missing')) return undefined;
      throw error;
    }
  }

  async #readAll(digests: readonly Digest[]): Promise<OwnedBytes[]> {
    const found = new Map<string, OwnedBytes>();
    const keys = digests.map((digest) => digestKey(digest));
    await this.#collect(digests, keys, found, 0);
    return keys.map((key) => found.get(key)!);
  }

  async #collect(
    digests: readonly Digest[],
    keys: readonly string[],
    found: Map<string, OwnedBytes>,
    depth: number,
  ): Promise<void> {
    if (depth > LIMITS.maxDeltaDepth) throw damaged(digests[0]!, 'delta chain too long');
    const wanted = new Map<string, Location>();
    for (const [at, key] of keys.entries()) {
      if (found.has(key) || wanted.has(key)) continue;
      const cached = this.#plain.get(key);
      if (cached !== undefined) found.set(key, cached);
      else wanted.set(key, this.#locate(digests[at]!));
    }
    if (wanted.size === 0) return;
    const locations = [...wanted.values()];
    const bases = locations.flatMap(({ entry }) => (entry.transform === 'xor' ? [entry.base] : []));
    if (bases.length > 0) {
      const baseKeys = bases.map((digest) => digestKey(digest));
      await this.#collect(bases, baseKeys, found, depth + 1);
    }
    const frames = await this.#readFrames(locations);
    const objects = locations.map((location) => materialise(location, frames, found));
    this.#prove(locations, objects, frames);
    for (const [at, [key, { entry }]] of [...wanted].entries()) {
      found.set(key, objects[at]!);
      if (entry.kind === 'node') this.#plain.set(key, objects[at]!);
    }
  }

  /** Throws `object-damaged` where an object is not what it is named after. */
  #prove(locations: readonly Location[], objects: readonly OwnedBytes[], frames: Frames): void {
    const toDigest: number[] = [];
    for (const [at, { index, entry }] of locations.entries()) {
      const frame = entry.transform === 'plain' ? frames.get(index)!.get(entry.frame)! : undefined;
      const offset = frame === undefined ? undefined : digestOffset(frame, entry as PlainEntry);
      if (offset === undefined) toDigest.push(at);
      else if (compareDigests(frame!.digests!, entry.digest, offset) !== 0)
        throw damaged(entry.digest, 'digest differs');
    }
    const digests = this.#digester.digestAll(toDigest.map((at) => objects[at]!));
    for (const [number, at] of toDigest.entries()) {
      const { digest } = locations[at]!.entry;
      if (compareDigests(digests, digest, number * DIGEST_BYTES) !== 0)
        throw damaged(digest, 'digest differs');
    }
  }

  #locate(digest: Digest): Location {
    const place = this.#index.find(digest);
    if (place === undefined) throw new VitrineError('object-missing', { object: toHex(digest) });
    return { pack: place.pack, index: place.index, entry: place.index.entry(place.entry) };
  }

  /** Decodes the frames of `locations`. */
  #readFrames(locations: readonly Location[]): Promise<Frames> {
    const wanted = new WantedFrames();
    for (const { pack, index, entry } of locations) {
      if (entry.transform === 'fill') continue;
      const isPage = entry.transform === 'plain' && isPageBytes(entry.lengthBytes);
      wanted.add(pack, index, entry.frame, isPage ? entry.lengthBytes : 0);
    }
    return this.#frames.read(wanted);
  }
}

function materialise(
  { index, entry }: Location,
  frames: Frames,
  found: ReadonlyMap<string, OwnedBytes>,
): OwnedBytes {
  if (entry.transform === 'fill') return fillContent(entry);
  const { bytes } = frames.get(index)!.get(entry.frame)!;
  return asDamage(entry.digest, () => {
    const payload = objectPayload(bytes, entry);
    return entry.transform === 'plain' ? payload : xorContent(payload, found.get(digestKey(entry.base))!);
  });
}

/** What `read` gives; what it refuses is damage of the object. */
function asDamage(digest: Uint8Array, read: () => OwnedBytes): OwnedBytes {
  try {
    return read();
  } catch (cause) {
    if (!isVitrineError(cause)) throw cause;
    throw new VitrineError('object-damaged', { object: toHex(digest) }, { cause });
  }
}

/** Where the digest of an object's payload is among those of its frame; undefined where it is not. */
function digestOffset({ bytes, digests }: DecodedFrame, entry: PayloadPlace): number | undefined {
  if (digests === undefined || bytes.length * DIGEST_BYTES !== digests.length * entry.lengthBytes)
    return undefined;
  return entry.offsetBytes % entry.lengthBytes === 0
    ? (entry.offsetBytes / entry.lengthBytes) * DIGEST_BYTES
    : undefined;
}

function damaged(digest: Uint8Array, reason: string): VitrineError {
  return new VitrineError('object-damaged', { object: toHex(digest), reason });
}
