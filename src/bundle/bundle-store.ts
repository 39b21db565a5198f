// A bundle as a store that is only read: to look into its snapshot without taking it into a store first. What is looked at is read from
// the file where it lies; of the rest its indexes are in memory, some 60 bytes an object.

import type { OwnedBytes } from '../base/bytes.ts';
import { fromHex } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { throwIfAborted, type WorkOptions } from '../base/work.ts';
import { PACK_PREFIX } from '../engine/frame-reader.ts';
import { INDEX_PREFIX } from '../engine/objects.ts';
import { manifestKey, snapshotRef } from '../engine/snapshot.ts';
import { readBundle } from '../format/bundle.ts';
import { readPackIndex } from '../format/pack-reader.ts';
import { checkKey, checkObjectKey, checkPrefix, checkRange, checkRef, placeOf } from '../store/checks.ts';
import { Lifetime } from '../store/lifetime.ts';
import type { ByteRange, Key, Store, StoreTraits } from '../store/store.ts';
import { Bundle, type ReadBytes } from './open-bundle.ts';

const NAME_DIGITS = 64;

/** A file that holds a bundle. */
export interface BundleFile {
  readonly read: ReadBytes;
  /** Bytes of it; fewer where it ends. */
  readRange(range: ByteRange): Promise<OwnedBytes>;
  close(): Promise<void>;
}

/**
 * Opens a bundle as a store with one snapshot; it is read to its end first. What would change the store throws `unsupported`. The file is
 * the store's, and closed with it.
 *
 * Throws `format-*`, `aborted`, and what reading throws.
 */
export async function openBundleStore(file: BundleFile, options: WorkOptions = {}): Promise<Store> {
  const packs = new Map<Key, ByteRange>();
  const held = new Map<Key, OwnedBytes>();
  try {
    for await (const record of readBundle(file.read())) {
      throwIfAborted(options.signal);
      if (record.kind === 'end') {
        const { info } = new Bundle(file.read, record.manifest, 0);
        held.set(manifestKey(info.id), record.manifest);
        // Safe: an id is digits.
        held.set(snapshotRef(info.id), fromHex(info.id)!);
        return new BundleStore(file, packs, held);
      }
      const { pack, offsetBytes } = record;
      // Packs of a bundle are known by their order.
      const name = String(packs.size).padStart(NAME_DIGITS, '0');
      packs.set(`${PACK_PREFIX}${name}`, { offsetBytes, lengthBytes: pack.length });
      held.set(`${INDEX_PREFIX}${name}`, readPackIndex(pack).bytes);
    }
    throw new VitrineError('format-truncated', { record: 'bundle' });
  } catch (error) {
    await file.close();
    throw error;
  }
}

class BundleStore implements Store {
  readonly traits: StoreTraits = { kind: 'bundle', durability: 'none', maxObjectBytes: 0 };
  readonly #file: BundleFile;
  readonly #packs: ReadonlyMap<Key, ByteRange>;
  readonly #held: ReadonlyMap<Key, OwnedBytes>;
  readonly #lifetime = new Lifetime('bundle');

  constructor(file: BundleFile, packs: ReadonlyMap<Key, ByteRange>, held: ReadonlyMap<Key, OwnedBytes>) {
    this.#file = file;
    this.#packs = packs;
    this.#held = held;
  }

  get(key: Key, range?: ByteRange): Promise<OwnedBytes | undefined> {
    return this.#lifetime.use(async () => {
      checkKey(key);
      checkRange(range);
      const bytes = this.#held.get(key);
      if (bytes !== undefined) {
        const { start, end } = placeOf(key, bytes.length, range);
        return bytes.slice(start, end);
      }
      const pack = this.#packs.get(key);
      if (pack === undefined) return undefined;
      const { start, end } = placeOf(key, pack.lengthBytes, range);
      const lengthBytes = end - start;
      const read = await this.#file.readRange({ offsetBytes: pack.offsetBytes + start, lengthBytes });
      // It was whole when it was opened.
      if (read.length === lengthBytes) return read;
      throw new VitrineError('format-truncated', {
        record: 'bundle',
        key,
        lengthBytes,
        present: read.length,
      });
    });
  }

  list(prefix: string): Promise<Key[]> {
    return this.#lifetime.use(async () => {
      checkPrefix(prefix);
      return [...this.#packs.keys(), ...this.#held.keys()].filter((key) => key.startsWith(prefix)).sort();
    });
  }

  put(key: Key): Promise<void> {
    return this.#refuse(() => checkObjectKey(key));
  }

  delete(keys: readonly Key[]): Promise<void> {
    return this.#refuse(() => keys.forEach(checkObjectKey));
  }

  compareAndSwap(ref: Key): Promise<void> {
    return this.#refuse(() => checkRef(ref));
  }

  close(): Promise<void> {
    return this.#lifetime.close(() => this.#file.close());
  }

  #refuse(check: () => void): Promise<never> {
    return this.#lifetime.use(async () => {
      check();
      throw new VitrineError('unsupported', { missing: 'a store that can be written', kind: 'bundle' });
    });
  }
}
