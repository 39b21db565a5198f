// Packs and their indexes, by SPEC.md sections 6 and 7. Zstandard by fzstd, LZ4 by lz4-block.ts.

import { decompress as decodeZstd } from 'fzstd';
import { Cursor, checkOpening, checksum, hex, openBody, refuse } from './cursor.ts';
import { decodeLz4Block } from './lz4-block.ts';
import { decodeSparse } from './sparse.ts';

export interface ReadFrame {
  length: number;
  plainLength: number;
  checksum: number;
  codec: number;
}

export interface ReadObject {
  digest: string;
  kind: number;
  transform: number;
  depth: number;
  length: number;
  frame: number;
  offset: number;
  pattern?: Uint8Array;
  base?: string;
}

export interface ReadIndex {
  frames: ReadFrame[];
  objects: ReadObject[];
}

export interface ReadPack extends ReadIndex {
  /** Plain bytes of each frame. */
  plain: Uint8Array[];
}

export function readIndex(data: Uint8Array): ReadIndex {
  const c = openBody(data, 'VIDX');
  const [frameCount, objectCount, fillCount, xorCount] = [c.uint(4), c.uint(4), c.uint(4), c.uint(4)];
  if (c.left !== 16 * frameCount + 40 * objectCount + 8 * fillCount + 32 * xorCount) refuse('counts');
  const frames = times(frameCount, () => {
    const frame = { length: c.uint(4), plainLength: c.uint(4), checksum: c.uint(4), codec: c.uint(1) };
    c.zeros(3);
    if (frame.plainLength > 65536 || frame.length > frame.plainLength || frame.length < 1) refuse('frame');
    if (frame.codec === 0) refuse('codec 0');
    return frame;
  });
  const digests = times(objectCount, () => hex(c.take(32)));
  for (let i = 0; i < digests.length; i++) {
    if ((i === 0 ? '0'.repeat(64) : digests[i - 1]!) >= digests[i]!) refuse('order of digests');
  }
  const objects: ReadObject[] = digests.map((digest) => {
    const flags = c.uint(1);
    const object = { digest, kind: flags & 3, transform: (flags >> 2) & 3, depth: flags >> 4 };
    return { ...object, frame: c.uint(3), offset: c.uint(2), length: c.uint(2) + 1 };
  });
  const fills = objects.filter((one) => one.transform === 2);
  const xors = objects.filter((one) => one.transform === 3);
  if (fills.length !== fillCount || xors.length !== xorCount) refuse('counts of transforms');
  for (const one of fills) one.pattern = c.take(8);
  for (const one of xors) one.base = hex(c.take(32));
  c.end();
  for (const one of objects) checkObject(one);
  for (const [number, frame] of frames.entries()) checkTiles(objects, number, frame.plainLength);
  if (objects.some((one) => one.transform !== 2 && one.frame >= frameCount)) refuse('frame number');
  return { frames, objects };
}

export function readPack(data: Uint8Array): ReadPack {
  checkOpening(new Cursor(data), 'VPAK');
  if (data.length < 48) refuse('pack is short');
  const footer = new Cursor(data.slice(-32));
  const [at, length] = [footer.uint(8), footer.uint(4)];
  footer.zeros(8);
  if (footer.uint(4) !== checksum(data.slice(-32, -12))) refuse('footer checksum');
  if (hex(footer.take(8)) !== hex(data.slice(0, 8))) refuse('footer magic');
  if (at + length + 32 !== data.length) refuse('place of the index');
  const index = readIndex(data.slice(at, at + length));
  let start = 16;
  const plain = index.frames.map((frame) => {
    const bytes = data.slice(start, start + frame.length);
    start += frame.length;
    if (checksum(bytes) !== frame.checksum) refuse('frame checksum');
    return decode(frame, bytes);
  });
  if (start !== at) refuse('frame lengths');
  return { ...index, plain };
}

function decode(frame: ReadFrame, bytes: Uint8Array): Uint8Array {
  let plain: Uint8Array;
  if (frame.codec === 1) plain = bytes;
  else if (frame.codec === 2) plain = decodeLz4Block(bytes, frame.plainLength);
  else if (frame.codec === 3) plain = decodeZstd(bytes);
  else if (frame.codec === 4) plain = decodeSparse(bytes, frame.plainLength, decodeLz4Block);
  else if (frame.codec === 5) plain = decodeSparse(bytes, frame.plainLength, (words) => decodeZstd(words));
  else return refuse(`codec ${frame.codec}`);
  if (plain.length !== frame.plainLength) refuse('frame plain length');
  return plain;
}

function checkObject(one: ReadObject): void {
  const isPage = one.kind === 1 && one.length >= 256 && (one.length & (one.length - 1)) === 0;
  const isNode = one.kind === 2 && one.length % 32 === 0 && one.length <= 16384;
  if (!isPage && !isNode) refuse('object kind or length');
  if (one.transform === 0) refuse('transform 0');
  if (one.transform === 3 ? one.depth < 1 || one.depth > 8 : one.depth !== 0) refuse('depth');
  if (one.transform === 2 && (one.frame !== 0 || one.offset !== 0)) refuse('place of a fill');
  if (one.pattern?.every((byte) => byte === 0)) refuse('fill of zeros');
  if (one.base === one.digest || one.base === '0'.repeat(64)) refuse('base');
}

function checkTiles(objects: ReadObject[], frame: number, plainLength: number): void {
  const inside = objects.filter((one) => one.transform !== 2 && one.frame === frame);
  let at = 0;
  for (const one of inside.sort((a, b) => a.offset - b.offset)) {
    if (one.offset !== at) refuse('payloads do not tile their frame');
    at += one.length;
  }
  if (at !== plainLength) refuse('payloads do not fill their frame');
}

function times<T>(count: number, one: () => T): T[] {
  return Array.from({ length: count }, one);
}
