// Which pack holds which object, over the indexes of all packs of a store. A hash table with open addressing and
// linear probing: eight bytes a slot, half of them a tag from the hash, half the object's number; digests stay in
// the indexes. A million objects take 16 MiB here at most, and 40 to 72 MiB in the indexes.
//
// Objects are numbered across packs: a pack has the numbers from its `first`, in the order of its index. Numbers
// of a removed pack are not used again; when 2^32 of them are used up, everything is numbered anew.
//
// The hash is keyed with a seed, since the digests in an index that a stranger wrote need not be digests of
// anything and could be chosen to collide.

import { assert } from '../base/assert.ts';
import { compareDigests, DIGEST_BYTES } from './digest.ts';
import type { PackIndex } from './pack-index.ts';

/** What a store calls a pack. */
export type PackKey = string;

export interface ObjectPlace {
  readonly pack: PackKey;
  readonly index: PackIndex;
  /** The object's entry in that index. */
  readonly entry: number;
}

interface KnownPack {
  readonly key: PackKey;
  readonly index: PackIndex;
  readonly first: number;
}

const FIRST_CAPACITY = 1024;
/** Slots stay at most seven tenths full: beyond that linear probing takes long walks. */
const MAX_LOAD = 0.7;
const MAX_NUMBERS = 2 ** 32 - 1;

export class ObjectIndex {
  readonly #packs = new Map<PackKey, KnownPack>();
  /** In ascending order of `first`. */
  #order: KnownPack[] = [];
  #nextNumber = 0;
  #count = 0;
  #capacity = FIRST_CAPACITY;
  #tags = new Uint32Array(FIRST_CAPACITY);
  /** An object's number plus one; zero is an empty slot. */
  #numbers = new Uint32Array(FIRST_CAPACITY);
  readonly #seed: number;

  /** `seed` is for tests; left out, it is random. */
  constructor(options: { readonly seed?: number } = {}) {
    this.#seed = options.seed ?? randomSeed();
  }

  /** Objects, counted once for each pack that holds them. */
  get objectCount(): number {
    return this.#count;
  }

  /** Keys of the packs it knows, in the order they were added. */
  packKeys(): PackKey[] {
    return [...this.#packs.keys()];
  }

  packIndex(pack: PackKey): PackIndex | undefined {
    return this.#packs.get(pack)?.index;
  }

  /** Makes a pack's objects known. A pack that is known is passed over: packs never change. */
  add(pack: PackKey, index: PackIndex): void {
    if (this.#packs.has(pack)) return;
    if (this.#nextNumber + index.count > MAX_NUMBERS) this.#renumber();
    assert(this.#nextNumber + index.count <= MAX_NUMBERS, 'objects are counted in 32 bits');
    this.#reserve(this.#count + index.count);
    const known = { key: pack, index, first: this.#nextNumber };
    this.#packs.set(pack, known);
    this.#order.push(known);
    this.#nextNumber += index.count;
    this.#insertAll(known);
    this.#count += index.count;
  }

  /** Forgets a pack's objects. Those that another pack holds too are then found there. */
  remove(pack: PackKey): void {
    const known = this.#packs.get(pack);
    if (known === undefined) return;
    for (let entry = 0; entry < known.index.count; entry++) this.#delete(known, entry);
    this.#count -= known.index.count;
    this.#packs.delete(pack);
    this.#order = this.#order.filter((one) => one !== known);
  }

  has(digest: Uint8Array, offset = 0): boolean {
    return this.#slotOf(digest, offset) >= 0;
  }

  /**
   * The place of the object with the digest at `offset`, or undefined. Where several packs hold it, the one with the
   * fewest deltas to undo: two writers that did not know of each other may each have told it from something of the
   * other's, and only depths that shrink on the way to a base are sure to end.
   */
  find(digest: Uint8Array, offset = 0): ObjectPlace | undefined {
    let best: ObjectPlace | undefined;
    const mask = this.#capacity - 1;
    for (
      let slot = this.#slotOf(digest, offset);
      slot >= 0;
      slot = this.#slotOf(digest, offset, (slot + 1) & mask)
    ) {
      const number = this.#numbers[slot]! - 1;
      const { key, index, first } = this.#packOf(number);
      const entry = number - first;
      if (best === undefined || index.depthAt(entry) < best.index.depthAt(best.entry))
        best = { pack: key, index, entry };
    }
    return best;
  }

  /** The first slot of the digest, from where its walk begins or from `start` on it; -1 when there is none. */
  #slotOf(digest: Uint8Array, offset: number, start?: number): number {
    const tag = this.#hash(digest, offset);
    const mask = this.#capacity - 1;
    for (let slot = start ?? tag & mask; this.#numbers[slot] !== 0; slot = (slot + 1) & mask) {
      if (this.#tags[slot] !== tag) continue;
      const number = this.#numbers[slot]! - 1;
      const { index, first } = this.#packOf(number);
      if (compareDigests(index.digests, digest, (number - first) * DIGEST_BYTES, offset) === 0) return slot;
    }
    return -1;
  }

  /** The pack an object's number belongs to: the last one that starts at or before it. */
  #packOf(number: number): KnownPack {
    let low = 0;
    let high = this.#order.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#order[middle]!.first <= number) low = middle;
      else high = middle - 1;
    }
    return this.#order[low]!;
  }

  #insertAll(known: KnownPack): void {
    const mask = this.#capacity - 1;
    for (let entry = 0; entry < known.index.count; entry++) {
      const tag = this.#hash(known.index.digests, entry * DIGEST_BYTES);
      let slot = tag & mask;
      while (this.#numbers[slot] !== 0) slot = (slot + 1) & mask;
      this.#tags[slot] = tag;
      this.#numbers[slot] = known.first + entry + 1;
    }
  }

  /** Empties an object's slot and closes the gap: what had probed past it moves back, so no marks are left. */
  #delete(known: KnownPack, entry: number): void {
    const mask = this.#capacity - 1;
    const wanted = known.first + entry + 1;
    let gap = this.#hash(known.index.digests, entry * DIGEST_BYTES) & mask;
    while (this.#numbers[gap] !== wanted) {
      assert(this.#numbers[gap] !== 0, 'a known object has its slot');
      gap = (gap + 1) & mask;
    }
    for (let slot = (gap + 1) & mask; this.#numbers[slot] !== 0; slot = (slot + 1) & mask) {
      const home = this.#tags[slot]! & mask;
      // It may move back to the gap unless its home lies behind the gap.
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      this.#tags[gap] = this.#tags[slot]!;
      this.#numbers[gap] = this.#numbers[slot]!;
      gap = slot;
    }
    this.#numbers[gap] = 0;
  }

  #reserve(count: number): void {
    let capacity = this.#capacity;
    while (count > capacity * MAX_LOAD) capacity *= 2;
    if (capacity === this.#capacity) return;
    this.#rebuild(capacity);
  }

  #renumber(): void {
    this.#nextNumber = 0;
    this.#order = this.#order.map((known) => {
      const renumbered = { ...known, first: this.#nextNumber };
      this.#packs.set(known.key, renumbered);
      this.#nextNumber += known.index.count;
      return renumbered;
    });
    this.#rebuild(this.#capacity);
  }

  #rebuild(capacity: number): void {
    this.#capacity = capacity;
    this.#tags = new Uint32Array(capacity);
    this.#numbers = new Uint32Array(capacity);
    for (const known of this.#order) this.#insertAll(known);
  }

  /** 32 bits from all 32 bytes of a digest and the seed. */
  #hash(digest: Uint8Array, offset: number): number {
    let hash = this.#seed;
    for (let at = offset; at < offset + DIGEST_BYTES; at += 4) {
      const word = digest[at]! | (digest[at + 1]! << 8) | (digest[at + 2]! << 16) | (digest[at + 3]! << 24);
      hash = Math.imul(hash ^ word, 0x9e37_79b1);
      hash = (hash << 13) | (hash >>> 19);
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
    return (hash ^ (hash >>> 13)) >>> 0;
  }
}

function randomSeed(): number {
  const bytes = crypto.getRandomValues(new Uint8Array(4));
  return new DataView(bytes.buffer).getUint32(0, true);
}
