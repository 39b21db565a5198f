// A history in a store, so that it survives its process. Its keys are `rewind/<name>/…`, which the engine's collect does not
// look at, and one ref.
//
//   new deltas ─▶ a segment, cut into objects of 1 MiB ─▶ index ─▶ ref moved by compare-and-swap ─▶ what nothing names deleted
//
// A delta is written once. A segment of which less than half is live is written again. A crash at any point leaves the
// history of the last flush, and at worst objects that the next flush removes. It is anchored at a snapshot of the engine,
// which is one of its points: without that snapshot it cannot be opened.

import { ByteReader } from '../base/byte-reader.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import { concatBytes, type OwnedBytes } from '../base/bytes.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import { MIB } from '../base/limits.ts';
import { crc32c } from '../format/crc32c.ts';
import type { Region } from '../memory/region.ts';
import { pageCountOf } from '../memory/region.ts';
import type { Store } from '../store/store.ts';
import type { Delta } from './delta.ts';
import type { DeviceShape } from './intake.ts';
import { readDelta, type UnitShape, writeDelta } from './stored-delta.ts';
import { decodeStoredIndex, encodeStoredIndex, type Place, type StoredIndex } from './stored-index.ts';
import type { Point, PointId } from './timeline.ts';
import { Units } from './units.ts';

const OBJECT_BYTES = MIB;
/** A segment with less than this share of live bytes is written again. */
const REWRITE_BELOW = 0.5;

/** What is written: the tree as it is, and what ties it to a snapshot. */
export interface HistoryImage {
  readonly anchor: string;
  readonly anchorPoint: PointId;
  readonly tip: PointId;
  readonly nextId: PointId;
  readonly regions: readonly Region[];
  readonly recordNames: readonly string[];
  /** The anchor's records, told from nothing. */
  readonly records: Delta;
  /** Parents first. */
  readonly points: readonly Point[];
}

/** What is read. */
export interface OpenedHistory {
  readonly index: StoredIndex;
  readonly records: Delta;
  /** By point. */
  readonly deltas: ReadonlyMap<PointId, Delta>;
}

/** What a flush wrote. */
export interface FlushReport {
  readonly bytesWritten: number;
  /** The snapshot that the history was anchored at before; null for none. It is no longer needed. */
  readonly anchorBefore: string | null;
}

interface Segment {
  readonly name: string;
  readonly lengthBytes: number;
}

export class RewindStore {
  readonly #store: Store;
  readonly #prefix: string;
  readonly #ref: string;
  /** The ref as this object wrote or read it last; what lies where is known as long as nobody else moved it. */
  #lastRef: string | null = null;
  #places = new WeakMap<Delta, { readonly segment: Segment; readonly place: Omit<Place, 'segment'> }>();

  /** The history of that name: a machine's. */
  constructor(store: Store, name: string) {
    this.#store = store;
    this.#prefix = `rewind/${name}/`;
    this.#ref = `refs/rewind/${name}`;
  }

  /** The snapshot that the stored history is anchored at; null when there is none. Throws `format-*`. */
  async anchor(): Promise<string | null> {
    return (await this.#latest((ref) => this.#readIndex(ref)))?.anchor ?? null;
  }

  /**
   * Writes a history in place of the one before. When it resolves it is durable; on failure the one before is as it was.
   *
   * Throws what the store throws, `store-conflict` when another tab wrote meanwhile.
   */
  async flush(image: HistoryImage): Promise<FlushReport> {
    const before = await this.#latest((ref) => this.#readIndex(ref)).catch((error: unknown) => {
      // One that cannot be read is replaced.
      if (error instanceof VitrineError && error.code.startsWith('format-')) return null;
      throw error;
    });
    const expected = (await this.#store.get(this.#ref)) ?? null;
    // Somebody else wrote since, and removed what was ours.
    if (expected === null || new TextDecoder().decode(expected) !== this.#lastRef)
      this.#places = new WeakMap();
    const segment: Segment = { name: newName(), lengthBytes: 0 };
    const deltas = [image.records, ...image.points.flatMap(({ delta }) => (delta === null ? [] : [delta]))];
    const written = await this.#writeSegment(segment.name, this.#unwritten(deltas));
    const { segments, placeOf } = this.#segmentsOf(deltas);
    const shapes = [...new Set(image.points.map(({ shape }) => shape))];
    const shapeIds = new Map<readonly DeviceShape[], number>(shapes.map((shape, id) => [shape, id]));
    const { anchor, anchorPoint, tip, nextId, regions, recordNames } = image;
    const index = encodeStoredIndex({
      ...{ anchor, anchorPoint, tip, nextId, recordNames, segments, shapes },
      regions: regions.map(({ name, sizeBytes, pageBytes }) => ({ name, sizeBytes, pageBytes })),
      records: placeOf(image.records),
      points: image.points.map(({ id, parent, atMs, wallMs, shape, label, delta }) => ({
        ...{ id, parent: parent?.id ?? null, atMs, wallMs, label },
        shape: shapeIds.get(shape)!,
        place: delta === null ? null : placeOf(delta),
      })),
    });
    const name = newName();
    const objects = await this.#putAll(`${name}-index`, index);
    const ref = new TextEncoder().encode(`${name} ${index.length}`);
    await this.#store.compareAndSwap(this.#ref, expected, ref);
    this.#lastRef = new TextDecoder().decode(ref);
    await this.#removeOthers(new Set([...objects, ...segments.flatMap((one) => this.#objectsOf(one))]));
    return { bytesWritten: written + index.length, anchorBefore: before?.anchor ?? null };
  }

  /** Reads the history; undefined when there is none. Throws `format-*`, `object-missing`, `guest-mismatch`. */
  open(regions: readonly Region[]): Promise<OpenedHistory | undefined> {
    return this.#latest((ref) => this.#open(ref, regions));
  }

  /** Removes the history. */
  async remove(): Promise<void> {
    const ref = await this.#store.get(this.#ref);
    if (ref !== undefined) await this.#store.compareAndSwap(this.#ref, ref, null);
    await this.#removeOthers(new Set());
  }

  async #open(ref: string, regions: readonly Region[]): Promise<OpenedHistory> {
    const index = await this.#readIndex(ref);
    this.#lastRef = ref;
    checkRegionsAre(index, regions);
    const segments = await Promise.all(
      index.segments.map(async (segment) => ({
        segment,
        bytes: await this.#getAll(segment.name, segment.lengthBytes),
      })),
    );
    const shapeOf = unitShapes(regions, index);
    const read = (place: Place): Delta => {
      const from = segments[place.segment];
      const end = place.offsetBytes + place.lengthBytes;
      if (from === undefined || end > from.bytes.length) {
        throw new VitrineError('format-range', { record: 'rewind index', field: 'place' });
      }
      if (crc32c(from.bytes, place.offsetBytes, end) !== place.crc) {
        throw new VitrineError('format-checksum', { record: 'rewind delta', offsetBytes: place.offsetBytes });
      }
      const reader = new ByteReader(from.bytes, 'rewind delta', place.offsetBytes, end);
      const delta = readDelta(reader, shapeOf);
      reader.end();
      const { segment: _, ...rest } = place;
      this.#places.set(delta, { segment: from.segment, place: rest });
      return delta;
    };
    const deltas = new Map<PointId, Delta>();
    for (const { id, place } of index.points) if (place !== null) deltas.set(id, read(place));
    return { index, records: read(index.records), deltas };
  }

  /** Reads the history that the ref names; once more when another tab replaced it meanwhile, and what it named is gone. */
  async #latest<T>(read: (ref: string) => Promise<T>): Promise<T | undefined> {
    for (;;) {
      const ref = await this.#readRef();
      if (ref === null) return undefined;
      try {
        return await read(ref);
      } catch (error) {
        if (!isVitrineError(error, 'object-missing') || (await this.#readRef()) === ref) throw error;
      }
    }
  }

  async #readRef(): Promise<string | null> {
    const ref = await this.#store.get(this.#ref);
    return ref === undefined ? null : new TextDecoder().decode(ref);
  }

  async #readIndex(ref: string): Promise<StoredIndex> {
    const match = /^([0-9a-f]{32}) (\d{1,9})$/.exec(ref);
    if (match === null) throw new VitrineError('format-range', { record: 'rewind ref' });
    const bytes = await this.#getAll(`${match[1]}-index`, Number(match[2]));
    return decodeStoredIndex(bytes);
  }

  /** Deltas that are to be written: new ones, and those of segments that are mostly dead. */
  #unwritten(deltas: readonly Delta[]): Delta[] {
    const live = new Map<Segment, number>();
    for (const delta of deltas) {
      const known = this.#places.get(delta);
      if (known) live.set(known.segment, (live.get(known.segment) ?? 0) + known.place.lengthBytes);
    }
    return deltas.filter((delta) => {
      const known = this.#places.get(delta);
      return known === undefined || live.get(known.segment)! < known.segment.lengthBytes * REWRITE_BELOW;
    });
  }

  /** Writes deltas as one segment; each is at its new place then. Returns the bytes written. */
  async #writeSegment(name: string, deltas: readonly Delta[]): Promise<number> {
    if (deltas.length === 0) return 0;
    const parts: OwnedBytes[] = [];
    const places: Omit<Place, 'segment'>[] = [];
    let lengthBytes = 0;
    for (const delta of deltas) {
      const writer = new ByteWriter();
      writeDelta(writer, delta);
      const bytes = writer.finish();
      places.push({ offsetBytes: lengthBytes, lengthBytes: bytes.length, crc: crc32c(bytes) });
      parts.push(bytes);
      lengthBytes += bytes.length;
    }
    await this.#putAll(name, concatBytes(parts));
    const segment = { name, lengthBytes };
    for (const [at, delta] of deltas.entries()) this.#places.set(delta, { segment, place: places[at]! });
    return lengthBytes;
  }

  #segmentsOf(deltas: readonly Delta[]) {
    const segments = [...new Set(deltas.map((delta) => this.#places.get(delta)!.segment))];
    const placeOf = (delta: Delta): Place => {
      const { segment, place } = this.#places.get(delta)!;
      return { segment: segments.indexOf(segment), ...place };
    };
    return { segments, placeOf };
  }

  async #putAll(name: string, bytes: OwnedBytes): Promise<string[]> {
    const keys = this.#objectsOf({ name, lengthBytes: bytes.length });
    for (const [at, key] of keys.entries()) {
      await this.#store.put(key, bytes.slice(at * OBJECT_BYTES, (at + 1) * OBJECT_BYTES));
    }
    return keys;
  }

  async #getAll(name: string, lengthBytes: number): Promise<OwnedBytes> {
    const parts: OwnedBytes[] = [];
    let left = lengthBytes;
    for (const key of this.#objectsOf({ name, lengthBytes })) {
      const bytes = await this.#store.get(key);
      if (bytes === undefined) throw new VitrineError('object-missing', { key });
      if (bytes.length !== Math.min(left, OBJECT_BYTES)) {
        throw new VitrineError('format-truncated', { record: key, lengthBytes: bytes.length });
      }
      left -= bytes.length;
      parts.push(bytes);
    }
    return concatBytes(parts);
  }

  #objectsOf({ name, lengthBytes }: Segment): string[] {
    const count = Math.max(1, Math.ceil(lengthBytes / OBJECT_BYTES));
    return Array.from({ length: count }, (_, at) => `${this.#prefix}${name}-${at}`);
  }

  async #removeOthers(kept: ReadonlySet<string>): Promise<void> {
    const keys = await this.#store.list(this.#prefix);
    await this.#store.delete(keys.filter((key) => !kept.has(key)));
  }
}

function newName(): string {
  return crypto.randomUUID().replaceAll('-', '');
}

function checkRegionsAre(index: StoredIndex, regions: readonly Region[]): void {
  const isSame =
    index.regions.length === regions.length &&
    index.regions.every(({ name, sizeBytes, pageBytes }, id) => {
      const region = regions[id]!;
      return region.name === name && region.sizeBytes === sizeBytes && region.pageBytes === pageBytes;
    });
  if (!isSame) throw new VitrineError('guest-mismatch', { field: 'regions' });
}

/** The units of a stored history: its regions, and records as long as any of their shapes. */
function unitShapes(regions: readonly Region[], index: StoredIndex): UnitShape {
  const units = new Units(regions, index.recordNames);
  const longest = new Map<number, number>();
  for (const { name, lengthBytes } of index.shapes.flat()) {
    const { unit } = units.ofRecord(name);
    longest.set(unit, Math.max(longest.get(unit) ?? 0, lengthBytes));
  }
  return (unit) => {
    const region = regions[unit];
    if (region !== undefined) return { pageCount: pageCountOf(region), pageBytes: region.pageBytes };
    const lengthBytes = longest.get(unit);
    const pageBytes = units.recordPageBytes;
    return lengthBytes === undefined
      ? undefined
      : { pageCount: Math.ceil(lengthBytes / pageBytes), pageBytes };
  };
}
