// A thread's part of saves and restores: pages digested, pages encoded as full frames, and frames decoded and digested, by the codecs
// of the `fast` effort.

import { concatBytes, type OwnedBytes } from '../../base/bytes.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Codecs } from '../../codec/codec.ts';
import { LZ4_ID, loadLz4 } from '../../codec/lz4.ts';
import { RAW, RAW_ID } from '../../codec/raw.ts';
import { openCodecs } from '../../codec/registry.ts';
import { loadSparseLz4, SPARSE_LZ4_ID } from '../../codec/sparse.ts';
import type { Digester, InspectedPagesOf } from '../../engine/digester.ts';
import {
  type DecodedFrame,
  type FramePlace,
  type InspectedPages,
  type PageFrame,
  type PagesAtHand,
  type PagesBefore,
  pageAt,
} from '../../engine/page-encoder.ts';
import type { Digest } from '../../format/digest.ts';
import type { Effort } from '../../format/frame-codecs.ts';
import { decodeChecked } from '../../format/pack-reader.ts';
import type { Checksum } from './checksum.ts';

/** zstd is not among them: it would be in the text of every thread, and is for saves that need not be fast. */
export const THREAD_EFFORT = 'fast' satisfies Effort;

export interface InspectTask {
  readonly kind: 'inspect';
  readonly at: PagesAtHand;
  readonly pageBytes: number;
  readonly past?: PagesBefore;
}

export interface EncodeTask {
  readonly kind: 'encode';
  readonly at: PagesAtHand;
  readonly pageBytes: number;
  /** Indices of pages, a whole number of frames of them. */
  readonly pages: Uint32Array;
}

export interface DecodeTask {
  readonly kind: 'decode';
  /** Of which each frame is a part. */
  readonly bytes: OwnedBytes;
  readonly frames: readonly FramePlace[];
}

export interface JoinTask {
  readonly kind: 'join';
  readonly parts: readonly OwnedBytes[];
}

/** The parts one after another, and the digest of that. */
export interface JoinedParts {
  readonly bytes: OwnedBytes;
  readonly digest: Digest;
}

/** The codecs that a thread has. */
export const THREAD_CODECS: readonly number[] = [RAW_ID, LZ4_ID, SPARSE_LZ4_ID];

export function loadThreadCodecs(): Promise<Codecs> {
  return openCodecs(
    new Map([
      [RAW_ID, async () => RAW],
      [LZ4_ID, loadLz4],
      [SPARSE_LZ4_ID, loadSparseLz4],
    ]),
  );
}

export function inspectPages({ at, pageBytes, past }: InspectTask, digester: Digester): InspectedPages {
  const found = inspect(at, pageBytes, digester);
  if (past === undefined) return { at, ...found };
  const different = past.of.map((index, old) => {
    const was = past.bytes.subarray(old * pageBytes, (old + 1) * pageBytes);
    return digester.delta(pageAt(at, pageBytes, index), was).different;
  });
  return { at, ...found, past: { ...past, different } };
}

function inspect(at: PagesAtHand, pageBytes: number, digester: Digester): InspectedPagesOf {
  if (at.kind === 'own') return digester.inspectPages(at.bytes, pageBytes);
  const { buffer, atBytes } = at.places;
  return digester.inspectListed(new Uint8Array(buffer, atBytes), at.pages, pageBytes);
}

export function encodePages(
  { at, pageBytes, pages }: EncodeTask,
  codecs: Codecs,
  checksum: Checksum,
): PageFrame[] {
  const frames: PageFrame[] = [];
  const plain = new Uint8Array(LIMITS.frameBytes);
  const perFrame = LIMITS.frameBytes / pageBytes;
  for (let first = 0; first < pages.length; first += perFrame) {
    for (let index = 0; index < perFrame; index++) {
      plain.set(pageAt(at, pageBytes, pages[first + index]!), index * pageBytes);
    }
    const { codec, bytes: encoded } = codecs.encodeSmallest(plain, THREAD_EFFORT);
    frames.push({ codec, bytes: encoded, plainLengthBytes: plain.length, checksum: checksum(encoded) });
  }
  return frames;
}

export function joinParts({ parts }: JoinTask, digester: Digester): JoinedParts {
  const bytes = concatBytes(parts);
  return { bytes, digest: digester.digest(bytes) };
}

export function decodeFrames(
  { bytes, frames }: DecodeTask,
  codecs: Codecs,
  digester: Digester,
): DecodedFrame[] {
  return frames.map(({ offsetBytes, lengthBytes, pageBytes, ...frame }, number) => {
    const encoded = bytes.subarray(offsetBytes, offsetBytes + lengthBytes);
    const plain = decodeChecked(encoded, { ...frame, frame: number }, codecs);
    const isWhole = pageBytes > 0 && plain.length % pageBytes === 0;
    return isWhole ? { bytes: plain, digests: digester.digestPages(plain, pageBytes) } : { bytes: plain };
  });
}
