// A snapshot as one file, by SPEC.md section 8 alone.

import { Cursor, checkOpening, checksum, refuse } from './cursor.ts';
import { readPack } from './read-pack.ts';
import { type ReadSnapshot, readSnapshot } from './read-snapshot.ts';

const MOST_PACK_BYTES = 4_194_304;
const MOST_MANIFEST_BYTES = 4 * 1024 * 1024;

export interface ReadBundle extends ReadSnapshot {
  /** The manifest as it stands there, and the packs. */
  manifestBytes: Uint8Array;
  packs: Uint8Array[];
}

/** Every byte of the snapshot in a bundle. Throws `Refused` for a file that breaks a rule. */
export function readBundle(data: Uint8Array): ReadBundle {
  const c = new Cursor(data);
  checkOpening(c, 'VBUN');
  const packs: Uint8Array[] = [];
  for (;;) {
    const start = data.length - c.left;
    const tag = c.uint(1);
    if (tag !== 1 && tag !== 2) refuse(`record ${tag}`);
    const length = c.uint(4);
    if (length > (tag === 1 ? MOST_PACK_BYTES : 4 + MOST_MANIFEST_BYTES)) refuse('length of a record');
    const body = c.take(length);
    const end = data.length - c.left;
    if (c.uint(4) !== checksum(data.slice(start, end))) refuse('checksum of a record');
    if (tag === 1) {
      if (readPack(body).objects.some((one) => one.transform === 3)) refuse('a delta in a bundle');
      packs.push(body);
      continue;
    }
    const last = new Cursor(body);
    if (last.uint(4) !== packs.length) refuse('number of packs');
    c.end();
    const manifestBytes = last.take(last.left);
    return { ...readSnapshot(manifestBytes, packs), manifestBytes, packs };
  }
}
