// Where a save puts its new objects: known content is passed over, the rest goes into packs, and a full pack goes to
// the store. What a save had written before it failed stays: whole packs are true whether or not a ref names them,
// and the next save uses them.
//
// A few packs are on their way to the store at a time: while the medium makes one durable, the next one is encoded.

import { assert } from '../base/assert.ts';
import { type OwnedBytes, toHex } from '../base/bytes.ts';
import { isVitrineError } from '../base/error.ts';
import { KIB, LIMITS, MIB } from '../base/limits.ts';
import { loadPart } from '../base/part.ts';
import type { Codecs } from '../codec/codec.ts';
import type { Digest } from '../format/digest.ts';
import { DigestSet } from '../format/digest-set.ts';
import type { Effort } from '../format/frame-codecs.ts';
import type { PackIndex } from '../format/pack-index.ts';
import { type AssembledPack, type FinishedPack, PackWriter } from '../format/pack-writer.ts';
import type { PlacedPack } from '../format/placed-pack.ts';
import type { Store } from '../store/store.ts';
import type { Digester } from './digester.ts';
import { PACK_PREFIX } from './frame-reader.ts';
import { INDEX_PREFIX, type Objects } from './objects.ts';
import type { PackMemory, PageEncoder, PagesAtHand } from './page-encoder.ts';
import type { PlacedPacks } from './placed-packs.ts';

/**
 * A pack up to this length is read whole for its index: that is one request as for a record of its own, which would be a
 * fifth of what an incremental save writes, and one more thing to make durable.
 */
const SMALL_PACK_BYTES = 256 * KIB;

/** Packs on their way at a time, each of which takes 4 MiB: a disk is busy then while the next one is put together. */
const MOST_PUTS = 3;

/** Shorter packs are digested sooner than another thread hears of them. */
const FEWEST_DIGESTED_BYTES = MIB;

/** An object on its way into the store. */
export interface NewObject {
  readonly digest: Digest;
  readonly kind: 'page' | 'node';
  readonly bytes: Uint8Array;
  /** The 8-byte pattern it repeats, where it does. */
  readonly pattern?: OwnedBytes;
  /** Content it resembles, already in the store and of the same length: it is kept as a delta if that is smaller. */
  readonly base?: { readonly digest: Digest; readonly bytes: Uint8Array };
}

/** As `FinishedPack`, in memory of any kind. */
type NamedPack = Omit<FinishedPack, 'bytes'> & { readonly bytes: Uint8Array };

/** What a sink has taken; `bytesWritten` counts what is on its way. */
export interface SinkReport {
  readonly objectsNew: number;
  readonly objectsKnown: number;
  readonly bytesWritten: number;
}

export class PackSink {
  readonly #store: Store;
  readonly #objects: Objects;
  readonly #digester: Digester;
  readonly #codecs: Codecs;
  readonly #effort: Effort;
  readonly #encoder: PageEncoder | undefined;
  readonly #added = new DigestSet();
  /** What threads put pages into, where there are any. */
  #placed: PlacedPacks | undefined;
  readonly #packs = new Set<string>();
  #writer: PackWriter;
  /** Packs on their way; they never reject, and tell the first failure here. */
  readonly #puts = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;
  #objectsKnown = 0;
  #bytesWritten = 0;

  private constructor(
    store: Store,
    objects: Objects,
    codecs: Codecs,
    digester: Digester,
    effort: Effort,
    encoder?: PageEncoder,
  ) {
    this.#encoder = encoder;
    this.#store = store;
    this.#objects = objects;
    this.#codecs = codecs;
    this.#digester = digester;
    this.#effort = effort;
    this.#writer = this.#newWriter();
  }

  get report(): SinkReport {
    return {
      objectsNew: this.#added.size,
      objectsKnown: this.#objectsKnown,
      bytesWritten: this.#bytesWritten,
    };
  }

  /** Names of the packs it has written. */
  get packs(): ReadonlySet<string> {
    return this.#packs;
  }

  /** Loads the codecs that the effort needs. An encoder's threads encode and digest, where it takes the effort. Throws `kernel-unavailable`. */
  static async open(
    store: Store,
    objects: Objects,
    codecs: Codecs,
    digester: Digester,
    effort: Effort,
    encoder?: PageEncoder,
  ): Promise<PackSink> {
    await codecs.prepareEffort(effort);
    if (!encoder?.takes(effort)) return new PackSink(store, objects, codecs, digester, effort);
    const sink = new PackSink(store, objects, codecs, digester, effort, encoder);
    const { PlacedPacks } = await loadPart('lanes', () => import('./placed-packs.ts'));
    sink.#placed = new PlacedPacks({ encoder, effort, send: (pack) => sink.#sendPlaced(pack) });
    return sink;
  }

  /** Runs `work` with a sink, which has nothing on its way when this ends, however it ends. Throws as `open`. */
  static async using<T>(opening: Promise<PackSink>, work: (sink: PackSink) => Promise<T>): Promise<T> {
    const sink = await opening;
    try {
      return await work(sink);
    } finally {
      await sink.#settled();
    }
  }

  /**
   * Takes an object unless the store has it. A pack that is full is written: then there is something to await, which may
   * throw what `Store.put` threw for this pack or one before.
   */
  add(object: NewObject): undefined | Promise<void> {
    const presence = this.#objects.presence(object.digest);
    if (presence === 'present') {
      this.#objectsKnown++;
      return undefined;
    }
    if (!this.#added.add(object.digest)) return undefined;
    const { digest, kind, bytes, base } = object;
    if (presence === 'broken') return this.#take({ digest, kind, bytes });
    const isLongest =
      this.keepsDeltas && base !== undefined && this.#objects.depthOf(base.digest) === LIMITS.maxDeltaDepth;
    if (isLongest && object.pattern === undefined) return this.#takeFromStart(object, base.digest);
    return this.#take(object);
  }

  /** Whether bases are of use: a delta that is not compressed takes as much room as what it is told from. */
  get keepsDeltas(): boolean {
    return this.#effort !== 'none';
  }

  /** Whether the object with the digest at `offset` is to be taken: the store has it not, nor this sink. It must then be given. */
  wants(digest: Uint8Array, offset: number): boolean {
    if (this.#objects.presence(digest, offset) === 'present') {
      this.#objectsKnown++;
      return false;
    }
    return this.#added.add(digest, offset);
  }

  /** Takes an object that it said it wants. */
  addWanted(object: Omit<NewObject, 'base'>): undefined | Promise<void> {
    return this.#take(object);
  }

  /**
   * Takes pages that it said it wants, and lets the encoder's threads put them into frames: `pages` are indices, a whole number of frames
   * of them, and `digests` are theirs. Resolves when they are in packs. Throws what `Store.put` threw, and `worker-lost`.
   */
  addEncoded(at: PagesAtHand, pageBytes: number, pages: Uint32Array, digests: OwnedBytes): Promise<void> {
    assert(this.#placed !== undefined, 'there are threads that encode');
    return this.#placed.add(at, pageBytes, pages, digests);
  }

  /** As `add`, an object that the store may have in a pack that is to go: it is told from its base or from nothing. */
  addAgain(object: NewObject): undefined | Promise<void> {
    return this.#added.add(object.digest) ? this.#take(object) : undefined;
  }

  /** Sends what is left on its way; the report counts it. Nothing is added after it. */
  async seal(): Promise<SinkReport> {
    await this.#placed?.finish();
    await this.#flush();
    return this.report;
  }

  /** Writes what is left. Afterwards every object added is in the store, durable with the next ref. */
  async finish(): Promise<SinkReport> {
    await this.seal();
    await this.#settled();
    this.#throwFailure();
    return this.report;
  }

  #take(object: NewObject): undefined | Promise<void> {
    const { digest, kind, bytes, base } = object;
    const depth = base === undefined ? undefined : this.#objects.depthOf(base.digest);
    if (object.pattern !== undefined) {
      this.#writer.addFill({ digest, kind, lengthBytes: bytes.length, pattern: object.pattern });
    } else if (
      this.keepsDeltas &&
      base !== undefined &&
      depth !== undefined &&
      depth < LIMITS.maxDeltaDepth
    ) {
      this.#writer.addSmaller({ digest, kind, bytes, base: { ...base, depth } });
    } else this.#writer.addPlain({ digest, kind, bytes });
    return this.#flushFull();
  }

  /**
   * The chain is as long as it may be: the next one starts where that one did, as a delta of what it began with. To write
   * it whole instead made every ninth save of the same pages three times as long as the others.
   */
  async #takeFromStart({ digest, kind, bytes }: NewObject, end: Digest): Promise<void> {
    const start = this.#objects.startOf(end);
    const content = start === undefined ? undefined : await this.#readable(start);
    if (start === undefined || content?.length !== bytes.length)
      this.#writer.addPlain({ digest, kind, bytes });
    else this.#writer.addSmaller({ digest, kind, bytes, base: { digest: start, bytes: content, depth: 0 } });
    await this.#flushFull();
  }

  /** An object's content; undefined when it is damaged, since a save can do without. */
  async #readable(digest: Digest): Promise<OwnedBytes | undefined> {
    try {
      return await this.#objects.read(digest);
    } catch (error) {
      if (isVitrineError(error, 'object-damaged') || isVitrineError(error, 'object-missing'))
        return undefined;
      throw error;
    }
  }

  #flushFull(): undefined | Promise<void> {
    return this.#writer.hasRoomFor(LIMITS.frameBytes) ? undefined : this.#flush();
  }

  /** Sends the pack on its way; resolves when there is room for another one there. */
  async #flush(): Promise<void> {
    if (this.#writer.objectCount === 0) return;
    const writer = this.#writer;
    this.#writer = this.#newWriter();
    const isLarge = this.#encoder !== undefined && writer.encodedBytes >= FEWEST_DIGESTED_BYTES;
    await this.#send(
      isLarge ? this.#putAssembled(this.#encoder!, writer.assemble()) : this.#put(writer.finish()),
    );
  }

  /** As `#flush`, a pack that threads have filled. */
  #sendPlaced(pack: PlacedPack): Promise<void> {
    const { lengthBytes, index } = pack.finish();
    return this.#send(this.#putDigested(this.#encoder!, pack.memory, lengthBytes, index));
  }

  async #send(put: Promise<void>): Promise<void> {
    this.#onItsWay(put);
    if (this.#puts.size >= MOST_PUTS) await Promise.race(this.#puts);
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Notes what is on its way until it has arrived, and its failure. */
  #onItsWay(work: Promise<void>): void {
    const noted = work
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#puts.delete(noted));
    this.#puts.add(noted);
  }

  /** Resolves when nothing is on its way. */
  async #settled(): Promise<void> {
    await this.#placed?.settled();
    await Promise.all(this.#puts);
  }

  async #putAssembled(encoder: PageEncoder, { parts, index }: AssembledPack): Promise<void> {
    const memory = encoder.takeMemory();
    let lengthBytes = 0;
    for (const part of parts) {
      memory.set(part, lengthBytes);
      lengthBytes += part.length;
    }
    await this.#putDigested(encoder, memory, lengthBytes, index);
  }

  /** Puts the pack that the first bytes of a memory are, and gives the memory back. */
  async #putDigested(
    encoder: PageEncoder,
    memory: PackMemory,
    lengthBytes: number,
    index: PackIndex,
  ): Promise<void> {
    this.#count(lengthBytes, index);
    const name = await encoder.digest(memory, lengthBytes);
    await this.#putPack({ name, bytes: memory.subarray(0, lengthBytes), index });
    encoder.giveBack(memory);
  }

  #put(pack: FinishedPack): Promise<void> {
    this.#count(pack.bytes.length, pack.index);
    return this.#putPack(pack);
  }

  #count(packBytes: number, { bytes }: PackIndex): void {
    this.#bytesWritten += packBytes + (packBytes > SMALL_PACK_BYTES ? bytes.length : 0);
  }

  async #putPack({ name, bytes, index }: NamedPack): Promise<void> {
    const hex = toHex(name);
    const puts = [this.#putObject(`${PACK_PREFIX}${hex}`, bytes)];
    // At once, so that the medium is waited for once: a record whose pack never came is passed over.
    if (bytes.length > SMALL_PACK_BYTES) puts.push(this.#putObject(`${INDEX_PREFIX}${hex}`, index.bytes));
    for (const put of await Promise.allSettled(puts)) if (put.status === 'rejected') throw put.reason;
    this.#packs.add(hex);
    this.#objects.addPack(hex, index);
  }

  /** Its failure is in the promise, also of a store that throws before it has one: what is on its way beside it is awaited. */
  async #putObject(key: string, bytes: Uint8Array): Promise<void> {
    await this.#store.put(key, bytes);
  }

  #newWriter(): PackWriter {
    const { digest, delta } = this.#digester;
    return new PackWriter({ codecs: this.#codecs, effort: this.#effort, digest, delta });
  }
}
