// The input log: what entered a machine from outside, each with the slice before which it did, from the snapshot at which
// recording began to its end. With the snapshot it is the whole run.
//
//   | Offset | Size | Field                                                                       |
//   |--------|------|-----------------------------------------------------------------------------|
//   | 0      | 4    | `VILG`                                                                      |
//   | 4      | 2    | version, 1                                                                  |
//   | 6      | 2    | flags: 1 compiled code; no others                                           |
//   | 8      | 4    | CRC-32C of the machine's device records where recording began               |
//   | 12     | 8    | steps at the end          \                                                 |
//   | 20     | 8    | slices at the end          } of the position, see `replay.ts`               |
//   | 28     | 4    | number of inputs                                                            |
//   | 32     | 4    | number of checksums                                                         |
//   | 36     | …    | inputs: slices u64, steps u64, kind of value u8, name u8 + UTF-8, value     |
//   |        | …    | checksums of the end: name u8 + UTF-8, CRC-32C u32; records, then regions   |
//   | last 4 | 4    | CRC-32C of all before                                                       |
//
// Values: 0 none; 1 number f64; 2 bytes u32 + bytes; 3 text u32 + UTF-8; 4 numbers u32 + f64 each; 5 true; 6 false.

import { ByteReader } from '../base/byte-reader.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import { type OwnedBytes, ownBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { crc32c } from '../format/crc32c.ts';
import type { ReplayPosition } from './replay.ts';

const MAGIC = 0x474c_4956; // `VILG`, little-endian
const VERSION = 1;
const HEADER_BYTES = 36;
const FLAG_COMPILED = 1;
const CRC_BYTES = 4;
/** The shortest input: a position, a kind, an empty name. */
const LEAST_INPUT_BYTES = 18;
const LEAST_CHECKSUM_BYTES = 5;

/** What an input carries. */
export type InputValue = undefined | number | boolean | string | Uint8Array | readonly number[];

/** One thing that entered from outside. */
export interface Input extends ReplayPosition {
  /** The adapter's own name for it: `serial0-input`. At most 255 bytes of UTF-8. */
  readonly name: string;
  readonly value: InputValue;
}

/** The CRC-32C of a region or a device record. */
export interface Checksum {
  readonly name: string;
  readonly crc: number;
}

export interface InputLog {
  /** Whether the machine ran compiled code, which ends its slices elsewhere than an interpreted one's. */
  readonly isCompiled: boolean;
  /** CRC-32C of the device records that the machine had where recording began. */
  readonly start: number;
  /** In the order they came. */
  readonly inputs: readonly Input[];
  readonly end: ReplayPosition;
  /** What the machine held at the end: its regions as `region NAME`, its records as `record NAME`. */
  readonly checksums: readonly Checksum[];
}

/** About what an input costs in a log, in bytes: what a recording's budget counts. */
export function inputBytes({ name, value }: Pick<Input, 'name' | 'value'>): number {
  const size = value instanceof Uint8Array || typeof value === 'string' ? 4 * value.length : 8;
  return LEAST_INPUT_BYTES + name.length + (Array.isArray(value) ? 8 * value.length : size);
}

/** The value as a log can hold it, ours; undefined for one that cannot be recorded. */
export function recordable(value: unknown): { readonly value: InputValue } | undefined {
  if (value === undefined || typeof value === 'string' || typeof value === 'boolean') return { value };
  if (typeof value === 'number') return Number.isFinite(value) ? { value } : undefined;
  if (value instanceof Uint8Array) return { value: ownBytes(value).slice() };
  const isNumbers = Array.isArray(value) && value.every((one) => Number.isFinite(one));
  return isNumbers ? { value: [...(value as number[])] } : undefined;
}

export function encodeInputLog(log: InputLog): OwnedBytes {
  const writer = new ByteWriter();
  writer.u32(MAGIC);
  writer.u16(VERSION);
  writer.u16(log.isCompiled ? FLAG_COMPILED : 0);
  writer.u32(log.start);
  writer.u64(log.end.steps);
  writer.u64(log.end.slices);
  writer.u32(log.inputs.length);
  writer.u32(log.checksums.length);
  for (const { slices, steps, name, value } of log.inputs) {
    writer.u64(slices);
    writer.u64(steps);
    writer.u8(kindOf(value));
    writeName(writer, name);
    writeValue(writer, value);
  }
  for (const { name, crc } of log.checksums) {
    writeName(writer, name);
    writer.u32(crc);
  }
  writer.u32(crc32c(writer.finish()));
  return writer.finish();
}

/** The log that was encoded. Throws `format-magic`, `format-version`, `format-truncated`, `format-checksum`, `format-range`, `format-tag`. */
export function decodeInputLog(bytes: OwnedBytes): InputLog {
  const reader = new ByteReader(bytes, 'input log');
  if (reader.u32() !== MAGIC) throw new VitrineError('format-magic', { record: 'input log' });
  const version = reader.u16();
  if (version !== VERSION) throw new VitrineError('format-version', { record: 'input log', version });
  if (bytes.length < HEADER_BYTES + CRC_BYTES) {
    reader.refuse('format-truncated', { presentBytes: bytes.length });
  }
  const bodyBytes = bytes.length - CRC_BYTES;
  const expected = new ByteReader(bytes, 'input log', bodyBytes).u32();
  const actual = crc32c(bytes, 0, bodyBytes);
  if (actual !== expected) {
    throw new VitrineError('format-checksum', { record: 'input log', expected, actual });
  }
  return readBody(new ByteReader(bytes, 'input log', 6, bodyBytes));
}

function readBody(reader: ByteReader): InputLog {
  const flags = reader.u16();
  if ((flags & ~FLAG_COMPILED) !== 0) reader.refuse('format-range', { field: 'flags' });
  const start = reader.u32();
  const end = { steps: reader.u64(), slices: reader.u64() };
  const counts = { inputs: reader.u32(), checksums: reader.u32() };
  // Nothing is made for more than the bytes can hold.
  if (counts.inputs * LEAST_INPUT_BYTES + counts.checksums * LEAST_CHECKSUM_BYTES > reader.remaining) {
    reader.refuse('format-truncated', { ...counts, presentBytes: reader.remaining });
  }
  const inputs: Input[] = [];
  let before: ReplayPosition = { steps: 0, slices: 0 };
  for (let i = 0; i < counts.inputs; i++) {
    const position = { slices: reader.u64(), steps: reader.u64() };
    if (isLater(before, position)) reader.refuse('format-range', { field: 'position', input: i });
    before = position;
    const kind = reader.u8();
    inputs.push({ ...position, name: reader.text(reader.u8()), value: readValue(reader, kind) });
  }
  if (isLater(before, end)) reader.refuse('format-range', { field: 'end' });
  const checksums: Checksum[] = [];
  for (let i = 0; i < counts.checksums; i++) {
    checksums.push({ name: reader.text(reader.u8()), crc: reader.u32() });
  }
  reader.end();
  return { isCompiled: flags === FLAG_COMPILED, start, inputs, end, checksums };
}

function isLater(a: ReplayPosition, b: ReplayPosition): boolean {
  return a.slices > b.slices || a.steps > b.steps;
}

function kindOf(value: InputValue): number {
  if (value === undefined) return 0;
  if (typeof value === 'number') return 1;
  if (value instanceof Uint8Array) return 2;
  if (typeof value === 'string') return 3;
  if (typeof value === 'boolean') return value ? 5 : 6;
  return 4;
}

function writeName(writer: ByteWriter, name: string): void {
  const bytes = new TextEncoder().encode(name);
  writer.u8(bytes.length);
  writer.bytes(bytes);
}

function writeValue(writer: ByteWriter, value: InputValue): void {
  if (value === undefined || typeof value === 'boolean') return;
  if (typeof value === 'number') writer.f64(value);
  else if (typeof value === 'string' || value instanceof Uint8Array) {
    const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
    writer.u32(bytes.length);
    writer.bytes(bytes);
  } else {
    writer.u32(value.length);
    for (const one of value) writer.f64(one);
  }
}

function readValue(reader: ByteReader, kind: number): InputValue {
  if (kind === 0) return undefined;
  if (kind === 1) return reader.f64();
  if (kind === 2) return reader.bytes(reader.u32()).slice();
  if (kind === 3) return reader.text(reader.u32());
  if (kind === 5 || kind === 6) return kind === 5;
  if (kind !== 4) return reader.refuse('format-tag', { kind });
  const count = reader.u32();
  if (8 * count > reader.remaining)
    reader.refuse('format-truncated', { count, presentBytes: reader.remaining });
  return Array.from({ length: count }, () => reader.f64());
}
