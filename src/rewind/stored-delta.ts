// A delta in bytes, little-endian. What reads it checks all that `DeltaReader` relies on: a store may hold anything.
//
// | Size | Field                                                    |
// |------|----------------------------------------------------------|
// | 4    | parts, then for each:                                    |
// | 4    |   unit                                                   |
// | 4    |   bytes of a page                                        |
// | 4    |   pages, then their indices, ascending, 4 bytes each     |
// | 4    | frames, then for each:                                   |
// | 1    |   codec                                                  |
// | 4    |   plain bytes                                            |
// | 4    |   encoded bytes, then they                               |

import type { ByteReader } from '../base/byte-reader.ts';
import type { ByteWriter } from '../base/byte-writer.ts';
import { copyBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { type Delta, type DeltaFrame, type DeltaPart, sizeOfDelta } from './delta.ts';

/** How many pages a unit has at most, and how long they are; undefined for no such unit. */
export type UnitShape = (
  unit: number,
) => { readonly pageCount: number; readonly pageBytes: number } | undefined;

export function writeDelta(writer: ByteWriter, { parts, frames }: Delta): void {
  writer.u32(parts.length);
  for (const { unit, pageBytes, pages } of parts) {
    writer.u32(unit);
    writer.u32(pageBytes);
    writer.u32(pages.length);
    for (const page of pages) writer.u32(page);
  }
  writer.u32(frames.length);
  for (const { codec, plainBytes, bytes } of frames) {
    writer.u8(codec);
    writer.u32(plainBytes);
    writer.u32(bytes.length);
    writer.bytes(bytes);
  }
}

/** Reads a delta of units of that shape. Throws `format-*`. */
export function readDelta(reader: ByteReader, shapeOf: UnitShape): Delta {
  const parts: DeltaPart[] = [];
  for (let count = reader.u32(), unit = -1; count > 0; count--) {
    const part = readPart(reader, shapeOf);
    if (part.unit <= unit) throw refused('unit', part.unit);
    unit = part.unit;
    parts.push(part);
  }
  const frames: DeltaFrame[] = [];
  for (let count = reader.u32(); count > 0; count--) {
    const codec = reader.u8();
    const plainBytes = reader.u32();
    if (plainBytes === 0 || plainBytes > LIMITS.frameBytes) throw refused('plainBytes', plainBytes);
    frames.push({ codec, plainBytes, bytes: copyBytes(reader.bytes(reader.u32())) });
  }
  checkFrames(parts, frames);
  return { parts, frames, sizeBytes: sizeOfDelta(parts, frames) };
}

function readPart(reader: ByteReader, shapeOf: UnitShape): DeltaPart {
  const unit = reader.u32();
  const shape = shapeOf(unit);
  const pageBytes = reader.u32();
  if (shape === undefined || shape.pageBytes !== pageBytes) throw refused('pageBytes', pageBytes);
  const count = reader.u32();
  if (count * 4 > reader.remaining) throw refused('pages', count);
  const pages = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const page = reader.u32();
    if (page >= shape.pageCount || (i > 0 && page <= pages[i - 1]!)) throw refused('page', page);
    pages[i] = page;
  }
  return { unit, pageBytes, pages };
}

/** Frames hold the pages one after another, none cut in two, and nothing else. */
function checkFrames(parts: readonly DeltaPart[], frames: readonly DeltaFrame[]): void {
  let frame = -1;
  let left = 0;
  for (const { pageBytes, pages } of parts) {
    for (let i = 0; i < pages.length; i++) {
      if (left === 0) left = frames[++frame]?.plainBytes ?? 0;
      if (left < pageBytes) throw refused('frames', frame);
      left -= pageBytes;
    }
  }
  if (left !== 0 || frame !== frames.length - 1) throw refused('frames', frames.length);
}

function refused(field: string, value: number): VitrineError {
  return new VitrineError('format-range', { record: 'rewind delta', field, value });
}
