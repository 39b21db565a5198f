// A thread's part of saves and restores: pages digested, pages encoded as full frames where their pack is, packs digested, and frames
// decoded and digested, by the codecs of the efforts `none` and `fast`.

import { closeSync } from 'node:fs';
import type { OwnedBytes } from '../../base/bytes.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Codecs } from '../../codec/codec.ts';
import { LZ4_ID, loadLz4 } from '../../codec/lz4.ts';
import { RAW, RAW_ID } from '../../codec/raw.ts';
import { openCodecs } from '../../codec/registry.ts';
import { loadSparseLz4, SPARSE_LZ4_ID } from '../../codec/sparse.ts';
import type { Digester, InspectedPagesOf } from '../../engine/digester.ts';
import {
  type DecodedFrame,
  type EncodedPages,
  type FramePlace,
  type InspectedPages,
  type PackPlace,
  type PagesAtHand,
  type PagesBefore,
  type PagesInFile,
  pageAt,
} from '../../engine/page-encoder.ts';
import type { Effort } from '../../format/frame-codecs.ts';
import type { FrameEntry } from '../../format/pack-entry.ts';
import { decodeChecked } from '../../format/pack-reader.ts';
import type { Checksum } from './checksum.ts';
import { openRam, readFully } from './read-ram.ts';
import type { SharedBytes } from './shared-memories.ts';

/** Those with zstd are not among them: it would be in the text of every thread, and is for saves that need not be fast. */
export const THREAD_EFFORTS: readonly Effort[] = ['none', 'fast'];

export interface InspectTask {
  readonly kind: 'inspect';
  readonly at: PagesAtHand;
  readonly pageBytes: number;
  readonly past?: PagesBefore;
}

/** Pages to be read and then inspected. */
export interface ReadTask {
  readonly kind: 'read';
  readonly at: PagesInFile;
  readonly pageBytes: number;
  /** They are read to where this begins, one after another. */
  readonly into: SharedBytes;
}

export interface EncodeTask {
  readonly kind: 'encode';
  readonly at: PagesAtHand;
  readonly pageBytes: number;
  /** Indices of pages, a whole number of frames of them. */
  readonly pages: Uint32Array;
  readonly effort: Effort;
  readonly into: PackPlace;
}

/** The digest of what memory begins with. */
export interface DigestTask {
  readonly kind: 'digest';
  readonly bytes: Uint8Array;
}

export interface DecodeTask {
  readonly kind: 'decode';
  /** Of which each frame is a part. */
  readonly bytes: OwnedBytes;
  readonly frames: readonly FramePlace[];
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

/** Throws `guest-failed` when the file cannot be read or became shorter. */
export function readPages({ at, pageBytes, into }: ReadTask, digester: Digester): InspectedPages {
  const { file, pages } = at;
  const ram = openRam(file.path);
  try {
    for (let index = 0; index < pages.length; ) {
      let end = index + 1;
      while (pages[end] === pages[index]! + end - index) end++;
      const run = into.subarray(index * pageBytes, end * pageBytes);
      readFully(ram, file.path, run, file.atBytes + pages[index]! * pageBytes);
      index = end;
    }
  } finally {
    closeSync(ram);
  }
  const found = digester.inspectPages(into.subarray(0, pages.length * pageBytes), pageBytes);
  const places = { buffer: into.buffer, atBytes: into.byteOffset };
  return { at: { kind: 'shared', places, pages: Uint32Array.from(pages.keys()) }, ...found };
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
  { at, pageBytes, pages, effort, into }: EncodeTask,
  codecs: Codecs,
  checksum: Checksum,
): EncodedPages {
  const frames: FrameEntry[] = [];
  let { offsetBytes } = into;
  const plain = new Uint8Array(LIMITS.frameBytes);
  const perFrame = LIMITS.frameBytes / pageBytes;
  for (let first = 0; first < pages.length; first += perFrame) {
    for (let index = 0; index < perFrame; index++) {
      plain.set(pageAt(at, pageBytes, pages[first + index]!), index * pageBytes);
    }
    const { codec, bytes: encoded } = codecs.encodeSmallest(plain, effort);
    into.memory.set(encoded, offsetBytes);
    offsetBytes += encoded.length;
    const lengths = { lengthBytes: encoded.length, plainLengthBytes: plain.length };
    frames.push({ codec, ...lengths, checksum: checksum(encoded) });
  }
  return { at, frames };
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
