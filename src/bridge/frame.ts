// Frames: what a session's two byte streams are made of. PROTOCOL.md, section 2, is the specification.
//
//   | Offset | Size | Field                                         |
//   |--------|------|-----------------------------------------------|
//   | 0      | 1    | type                                          |
//   | 1      | 1    | flags: bit 0 is `end`, of data frames alone   |
//   | 2      | 2    | verb of a request, 0 in all other frames      |
//   | 4      | 4    | request, never 0                              |
//   | 8      | 4    | bytes of the body                             |
//
// All little-endian; the body follows. Nothing here knows what a body holds.

import { assert } from '../base/assert.ts';
import type { OwnedBytes } from '../base/bytes.ts';
import { BRIDGE_LIMITS } from './bridge-limits.ts';

export const FRAME_HEADER_BYTES = 12;
export const FLAG_END = 1;

/** Ids are append-only; 0 is always invalid. */
export const FRAME_TYPES = {
  request: 1,
  response: 2,
  error: 3,
  progress: 4,
  cancel: 5,
  data: 6,
  credit: 7,
} as const;

export type FrameType = keyof typeof FRAME_TYPES;

/** Lengths that the body of a frame may have. */
export const BODY_BYTES = {
  request: { least: 1, most: BRIDGE_LIMITS.controlFrameBytes },
  response: { least: 1, most: BRIDGE_LIMITS.controlFrameBytes },
  error: { least: 1, most: BRIDGE_LIMITS.errorFrameBytes },
  progress: { least: 1, most: BRIDGE_LIMITS.progressFrameBytes },
  cancel: { least: 0, most: 0 },
  data: { least: 0, most: BRIDGE_LIMITS.dataFrameBytes },
  credit: { least: 4, most: 4 },
} as const satisfies Record<FrameType, { readonly least: number; readonly most: number }>;

/** Frames that each end may send. */
export const SENT_BY = {
  client: ['request', 'cancel', 'data', 'credit'],
  host: ['response', 'error', 'progress', 'data', 'credit'],
} as const satisfies Record<string, readonly FrameType[]>;

export interface Frame {
  readonly type: FrameType;
  readonly request: number;
  /** 0 unless the frame is a request. */
  readonly verb: number;
  /** Whether a data frame is the last of its stream. */
  readonly end: boolean;
  /** In place where it could be: whoever keeps it copies it. */
  readonly body: OwnedBytes;
}

/** What a frame is made of. */
export interface FrameParts {
  readonly type: FrameType;
  readonly request: number;
  readonly verb?: number;
  readonly end?: boolean;
  readonly body?: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);

/** The bytes of a frame. */
export function encodeFrame(parts: FrameParts): OwnedBytes {
  const { body = NO_BYTES } = parts;
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + body.length);
  bytes.set(encodeHeader(parts, body.length));
  bytes.set(body, FRAME_HEADER_BYTES);
  return bytes;
}

/** The header of a frame whose body goes by itself: copying half a mebibyte costs more than a second message. */
export function encodeHeader(
  { type, request, verb = 0, end = false }: Omit<FrameParts, 'body'>,
  lengthBytes: number,
): OwnedBytes {
  const { least, most } = BODY_BYTES[type];
  assert(lengthBytes >= least && lengthBytes <= most, 'a body has a length that its frame allows');
  assert(request > 0 && request < 2 ** 32 && verb >= 0 && verb < 2 ** 16, 'ids fit their fields');
  const bytes = new Uint8Array(FRAME_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, FRAME_TYPES[type]);
  view.setUint8(1, end ? FLAG_END : 0);
  view.setUint16(2, verb, true);
  view.setUint32(4, request, true);
  view.setUint32(8, lengthBytes, true);
  return bytes;
}

/** The frame that gives the sender of a stream leave to send `bytes` more. */
export function creditFrame(request: number, bytes: number): OwnedBytes {
  const body = new Uint8Array(4);
  new DataView(body.buffer).setUint32(0, bytes, true);
  return encodeFrame({ type: 'credit', request, body });
}

/** The bytes that a credit frame grants. */
export function creditOf(frame: Frame): number {
  return new DataView(frame.body.buffer, frame.body.byteOffset, 4).getUint32(0, true);
}
