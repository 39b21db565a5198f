// The index of a stored history, little-endian: the tree of points, where their deltas lie, and the snapshot that one of the
// points is. Texts and names are a 2-byte length and UTF-8; `CRC` is over all before it.
//
// | Size | Field                                                                                |
// |------|--------------------------------------------------------------------------------------|
// | 4    | `VTRW`                                                                               |
// | 4    | version, 1                                                                           |
// | 32   | the anchor: a snapshot                                                               |
// | 4 4 4| the point that it is, the tip, the next id                                           |
// | …    | regions: 4 count; each: name, 8 bytes in all, 4 bytes of a page                      |
// | …    | record names: 4 count; names                                                         |
// | …    | segments: 4 count; each: name, 8 length                                              |
// | …    | shapes: 4 count; each: 4 count of records; each: name, 4 version, 8 length           |
// | …    | the anchor's records: a place                                                        |
// | …    | points: 4 count, parents first; each: 4 id, 4 parent or 0, 8 atMs, 8 wallMs,         |
// |      | 4 shape, text of the label or empty, and but for the root a place                    |
// | 4    | CRC                                                                                  |
//
// A place is 4 bytes of segment, 8 of offset, 4 of length, 4 of CRC-32C.

import { ByteReader } from '../base/byte-reader.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import { fromHex, type OwnedBytes, toHex } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { crc32c } from '../format/crc32c.ts';
import type { DeviceShape } from './intake.ts';
import type { PointId } from './timeline.ts';

const MAGIC = 0x57525456; // `VTRW`, little-endian
const VERSION = 1;
const RECORD = 'rewind index';

/** Where bytes lie in a stored history. */
export interface Place {
  readonly segment: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly crc: number;
}

export interface StoredPoint {
  readonly id: PointId;
  readonly parent: PointId | null;
  readonly atMs: number;
  readonly wallMs: number;
  readonly shape: number;
  readonly label: string | null;
  /** Null for the root. */
  readonly place: Place | null;
}

export interface StoredIndex {
  /** A snapshot's id. */
  readonly anchor: string;
  readonly anchorPoint: PointId;
  readonly tip: PointId;
  readonly nextId: PointId;
  readonly regions: readonly {
    readonly name: string;
    readonly sizeBytes: number;
    readonly pageBytes: number;
  }[];
  readonly recordNames: readonly string[];
  readonly segments: readonly { readonly name: string; readonly lengthBytes: number }[];
  readonly shapes: readonly (readonly DeviceShape[])[];
  readonly records: Place;
  readonly points: readonly StoredPoint[];
}

export function encodeStoredIndex(index: StoredIndex): OwnedBytes {
  const writer = new ByteWriter();
  const text = (value: string): void => {
    const bytes = new TextEncoder().encode(value);
    writer.u16(bytes.length);
    writer.bytes(bytes);
  };
  const place = ({ segment, offsetBytes, lengthBytes, crc }: Place): void => {
    writer.u32(segment);
    writer.u64(offsetBytes);
    writer.u32(lengthBytes);
    writer.u32(crc);
  };
  const list = <T>(items: readonly T[], write: (item: T) => void): void => {
    writer.u32(items.length);
    for (const item of items) write(item);
  };
  writer.u32(MAGIC);
  writer.u32(VERSION);
  // Safe: ids of snapshots are 64 hexadecimal digits.
  writer.bytes(fromHex(index.anchor)!);
  for (const id of [index.anchorPoint, index.tip, index.nextId]) writer.u32(id);
  list(index.regions, ({ name, sizeBytes, pageBytes }) => {
    text(name);
    writer.u64(sizeBytes);
    writer.u32(pageBytes);
  });
  list(index.recordNames, text);
  list(index.segments, ({ name, lengthBytes }) => {
    text(name);
    writer.u64(lengthBytes);
  });
  list(index.shapes, (shape) =>
    list(shape, ({ name, version, lengthBytes }) => {
      text(name);
      writer.u32(version);
      writer.u64(lengthBytes);
    }),
  );
  place(index.records);
  list(index.points, (point) => {
    writer.u32(point.id);
    writer.u32(point.parent ?? 0);
    writer.f64(point.atMs);
    writer.f64(point.wallMs);
    writer.u32(point.shape);
    text(point.label ?? '');
    if (point.place !== null) place(point.place);
  });
  const bytes = writer.finish();
  const whole = new Uint8Array(bytes.length + 4);
  whole.set(bytes);
  new DataView(whole.buffer).setUint32(bytes.length, crc32c(bytes), true);
  return whole;
}

/** Throws `format-*` for bytes that are no index of this version. */
export function decodeStoredIndex(bytes: OwnedBytes): StoredIndex {
  const end = bytes.length - 4;
  if (end < 8) throw new VitrineError('format-truncated', { record: RECORD, lengthBytes: bytes.length });
  const reader = new ByteReader(bytes, RECORD, 0, end);
  if (reader.u32() !== MAGIC) throw new VitrineError('format-magic', { record: RECORD });
  const version = reader.u32();
  if (version !== VERSION) throw new VitrineError('format-version', { record: RECORD, version });
  const found = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(end, true);
  if (found !== crc32c(bytes, 0, end)) throw new VitrineError('format-checksum', { record: RECORD });
  const text = (): string => reader.text(reader.u16());
  const place = (): Place => ({
    segment: reader.u32(),
    offsetBytes: reader.u64(),
    lengthBytes: reader.u32(),
    crc: reader.u32(),
  });
  const list = <T>(most: number, read: (index: number) => T): T[] => {
    const count = reader.u32();
    if (count > most) throw new VitrineError('format-limit', { record: RECORD, count });
    return Array.from({ length: count }, (_, index) => read(index));
  };
  const anchor = toHex(reader.bytes(32));
  const [anchorPoint, tip, nextId] = [reader.u32(), reader.u32(), reader.u32()];
  const regions = list(LIMITS.maxRegions, () => ({
    name: text(),
    sizeBytes: reader.u64(),
    pageBytes: reader.u32(),
  }));
  const recordNames = list(LIMITS.maxDeviceRecords, text);
  const segments = list(LIMITS.maxRewindPoints, () => ({ name: text(), lengthBytes: reader.u64() }));
  const shapes = list(LIMITS.maxRewindPoints, () =>
    list(LIMITS.maxDeviceRecords, () => ({ name: text(), version: reader.u32(), lengthBytes: reader.u64() })),
  );
  const records = place();
  const points = list(LIMITS.maxRewindPoints, (index): StoredPoint => {
    const id = reader.u32();
    const parent = reader.u32() || null;
    const fields = { atMs: reader.f64(), wallMs: reader.f64(), shape: reader.u32(), label: text() || null };
    return { id, parent, ...fields, place: index === 0 ? null : place() };
  });
  reader.end();
  return { anchor, anchorPoint, tip, nextId, regions, recordNames, segments, shapes, records, points };
}
