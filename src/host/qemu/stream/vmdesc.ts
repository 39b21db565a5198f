// QEMU's own description of a stream's device sections: JSON after the end. It is how sections without a length can be told
// apart exactly, so it is looked for before they are; and as hostile as the rest.
//
//   {"page_size": 4096, "devices": [{"name", "instance_id", "version", "fields": [{"name", "type", "size", "array_len"?}],
//     "subsections": [{"vmsd_name", "version", "fields", "subsections"}]}]}
//
// Since 10.0 it starts with "configuration".

import { VitrineError } from '../../../base/error.ts';
import { SECTION, STREAM_LIMITS } from './wire.ts';

/** Where the sections of a tail end, and what describes them. */
export interface Ending {
  /** Where the byte lies that ends the sections. */
  readonly endAt: number;
  readonly vmdesc: unknown;
}

const LEAD_BYTES = 6;

/**
 * The end of the sections in `tail`, which goes to the end of the stream: a zero, and the description where there is one.
 *
 * Undefined where it ends in neither way. Throws `format-limit` for a description that is too long.
 */
export function findEnding(tail: Uint8Array): Ending | undefined {
  const view = new DataView(tail.buffer, tail.byteOffset, tail.length);
  // JSON has no zero byte and a length fits in one place only, so the first place that holds is the one.
  for (let at = tail.indexOf(0); at >= 0 && at + LEAD_BYTES <= tail.length; at = tail.indexOf(0, at + 1)) {
    if (tail[at + 1] !== SECTION.vmdesc) continue;
    const lengthBytes = view.getUint32(at + 2);
    if (lengthBytes !== tail.length - at - LEAD_BYTES) continue;
    if (lengthBytes > STREAM_LIMITS.maxVmdescBytes) {
      const maxBytes = STREAM_LIMITS.maxVmdescBytes;
      throw new VitrineError('format-limit', { record: 'vmdesc', lengthBytes, maxBytes });
    }
    const vmdesc = parseJson(tail.subarray(at + LEAD_BYTES));
    if (vmdesc !== undefined) return { endAt: at, vmdesc };
  }
  return tail.at(-1) === SECTION.eof ? { endAt: tail.length - 1, vmdesc: undefined } : undefined;
}

/** Bytes of each section that the description tells, by `sectionKey`. What it tells wrongly is left out. */
export function toldBytes(vmdesc: unknown): ReadonlyMap<string, number> {
  const told = new Map<string, number>();
  for (const device of listOf(vmdesc, 'devices')) {
    const { name, instance_id: instanceId } = device;
    if (typeof name !== 'string' || typeof instanceId !== 'number') continue;
    const lengthBytes = bytesOf(device, STREAM_LIMITS.maxVmdescDepth);
    if (Number.isSafeInteger(lengthBytes)) told.set(sectionKey(name, instanceId), lengthBytes);
  }
  return told;
}

/** What tells one section from another in a stream. */
export function sectionKey(name: string, instanceId: number): string {
  return `${instanceId} ${name}`;
}

/** Bytes of the fields and, with their headers, of the subsections; NaN where that is not told. */
function bytesOf(described: Fields, depth: number): number {
  if (depth === 0) return Number.NaN;
  let bytes = 0;
  for (const { size, array_len: count = 1 } of listOf(described, 'fields')) {
    bytes += Number(size) * Number(count);
  }
  for (const part of listOf(described, 'subsections')) {
    const name = part.vmsd_name;
    // A tag, the name with its length, the version.
    bytes += typeof name === 'string' ? 2 + name.length + 4 + bytesOf(part, depth - 1) : Number.NaN;
  }
  return bytes;
}

type Fields = Readonly<Record<string, unknown>>;

function listOf(value: unknown, field: string): readonly Fields[] {
  const list = isFields(value) ? value[field] : undefined;
  return Array.isArray(list) ? list.filter(isFields) : [];
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

/** An object, undefined for all that is not the JSON of one. */
function parseJson(bytes: Uint8Array): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
