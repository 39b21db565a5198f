// Every rule of a pack index, checked once when it is decoded, so that reading it afterwards needs no checks.

import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { isPageBytes } from '../memory/region.ts';
import { compareDigests, DIGEST_BYTES, isZeroDigest } from './digest.ts';
import { PATTERN_BYTES } from './pack-entry.ts';
import { FRAME_BYTES, type IndexLayout, PLACE_BYTES } from './pack-layout.ts';
import { NODE_BYTES } from './table.ts';

const KIND_PAGE = 1;
const KIND_NODE = 2;
const TRANSFORM_PLAIN = 1;
const TRANSFORM_FILL = 2;
const TRANSFORM_XOR = 3;

/** Throws `format-range`, `format-limit` or `format-tag` unless the columns follow the rules of SPEC.md. */
export function checkIndex(bytes: OwnedBytes, layout: IndexLayout): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  checkFrames(view, layout);
  checkDigests(bytes, layout);
  checkPlaces(bytes, view, layout);
}

function checkFrames(view: DataView, layout: IndexLayout): void {
  for (let frame = 0; frame < layout.frameCount; frame++) {
    const at = layout.framesAt + frame * FRAME_BYTES;
    const lengthBytes = view.getUint32(at, true);
    const plainLengthBytes = view.getUint32(at + 4, true);
    if (plainLengthBytes > LIMITS.frameBytes) refuse('format-limit', 'frame plain length', frame);
    if (plainLengthBytes === 0) refuse('format-range', 'frame plain length', frame);
    if (lengthBytes === 0 || lengthBytes > plainLengthBytes) refuse('format-range', 'frame length', frame);
    if (view.getUint8(at + 12) === 0) refuse('format-tag', 'frame codec', frame);
    if (view.getUint32(at + 12, true) > 255) refuse('format-range', 'frame reserved', frame);
  }
}

function checkDigests(bytes: OwnedBytes, layout: IndexLayout): void {
  for (let entry = 0; entry < layout.objectCount; entry++) {
    const at = layout.digestsAt + entry * DIGEST_BYTES;
    // The zero digest would come first; every later one is above its predecessor.
    if (entry === 0 && isZeroDigest(bytes, at)) refuse('format-range', 'object digest', entry);
    if (entry > 0 && compareDigests(bytes, bytes, at - DIGEST_BYTES, at) >= 0) {
      refuse('format-range', 'object order', entry);
    }
  }
}

function checkPlaces(bytes: OwnedBytes, view: DataView, layout: IndexLayout): void {
  const filled = new Float64Array(layout.frameCount);
  let fills = 0;
  let xors = 0;
  for (let entry = 0; entry < layout.objectCount; entry++) {
    const at = layout.placesAt + entry * PLACE_BYTES;
    const flags = view.getUint8(at);
    const frame = view.getUint32(at, true) >>> 8;
    const offset = view.getUint16(at + 4, true);
    const lengthBytes = view.getUint16(at + 6, true) + 1;
    checkLength(flags & 3, lengthBytes, entry);
    const transform = (flags >>> 2) & 3;
    const depth = flags >>> 4;
    if (transform === TRANSFORM_FILL) {
      if (frame !== 0 || offset !== 0) refuse('format-range', 'fill place', entry);
      checkPattern(bytes, layout.patternsAt + fills * PATTERN_BYTES, fills < layout.fillCount, entry);
      fills++;
    } else if (transform === TRANSFORM_PLAIN || transform === TRANSFORM_XOR) {
      if (frame >= layout.frameCount) refuse('format-range', 'object frame', entry);
      const plain = view.getUint32(layout.framesAt + frame * FRAME_BYTES + 4, true);
      if (offset + lengthBytes > plain) refuse('format-range', 'object offset', entry);
      filled[frame]! += lengthBytes;
    } else {
      refuse('format-tag', 'object transform', entry);
    }
    if (transform === TRANSFORM_XOR) {
      if (depth === 0 || depth > LIMITS.maxDeltaDepth) refuse('format-limit', 'object depth', entry);
      checkBase(bytes, layout, entry, xors);
      xors++;
    } else if (depth !== 0) refuse('format-range', 'object depth', entry);
  }
  if (fills !== layout.fillCount) refuse('format-range', 'fill count', fills);
  if (xors !== layout.xorCount) refuse('format-range', 'xor count', xors);
  // Payloads tile their frame: together they are as long as it is.
  for (let frame = 0; frame < layout.frameCount; frame++) {
    const plain = view.getUint32(layout.framesAt + frame * FRAME_BYTES + 4, true);
    if (filled[frame] !== plain) refuse('format-range', 'frame plain length', frame);
  }
}

function checkLength(kind: number, lengthBytes: number, entry: number): void {
  if (kind === KIND_PAGE) {
    if (!isPageBytes(lengthBytes)) refuse('format-range', 'page length', entry);
  } else if (kind === KIND_NODE) {
    if (lengthBytes % DIGEST_BYTES !== 0 || lengthBytes > NODE_BYTES) {
      refuse('format-range', 'node length', entry);
    }
  } else refuse('format-tag', 'object kind', entry);
}

function checkPattern(bytes: OwnedBytes, at: number, isPresent: boolean, entry: number): void {
  if (!isPresent) refuse('format-range', 'fill count', entry);
  for (let i = at; i < at + PATTERN_BYTES; i++) if (bytes[i] !== 0) return;
  // Zeros have no object: tables name them by the zero digest.
  refuse('format-range', 'fill pattern', entry);
}

function checkBase(bytes: OwnedBytes, layout: IndexLayout, entry: number, rank: number): void {
  if (rank >= layout.xorCount) refuse('format-range', 'xor count', entry);
  const base = layout.basesAt + rank * DIGEST_BYTES;
  if (isZeroDigest(bytes, base)) refuse('format-range', 'object base', entry);
  if (compareDigests(bytes, bytes, layout.digestsAt + entry * DIGEST_BYTES, base) === 0) {
    refuse('format-range', 'object base', entry);
  }
}

function refuse(code: 'format-range' | 'format-limit' | 'format-tag', field: string, number: number): never {
  throw new VitrineError(code, { record: 'pack index', field, number });
}
