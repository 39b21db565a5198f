// A whole snapshot out of nothing but files: the oracle that the engine is held against.

import { blake3 } from '@noble/hashes/blake3.js';
import { hex, refuse } from './cursor.ts';
import { type ReadManifest, type ReadTable, readManifest, ZEROS } from './read-manifest.ts';
import { type ReadObject, type ReadPack, readPack } from './read-pack.ts';

export interface ReadSnapshot {
  manifest: ReadManifest;
  regions: { name: string; guestAddress: number | null; bytes: Uint8Array }[];
  devices: { name: string; version: number; bytes: Uint8Array }[];
}

/**
 * Every byte of a snapshot: `packs` are all packs of its store, by whatever name.
 *
 * Every rule of the format and every digest is checked on the way; throws `Refused` for a file that breaks one or
 * when an object is missing.
 */
export function readSnapshot(
  manifest: Uint8Array,
  packs: ReadonlyMap<string, Uint8Array> | Iterable<Uint8Array>,
): ReadSnapshot {
  const read = readManifest(manifest);
  const objects = new Objects(packs instanceof Map ? packs.values() : (packs as Iterable<Uint8Array>));
  return {
    manifest: read,
    regions: read.regions.map((one) => ({
      name: one.name,
      guestAddress: one.guestAddress,
      bytes: tableBytes(one, objects),
    })),
    devices: read.devices.map((one) => ({
      name: one.name,
      version: one.version,
      bytes: tableBytes(one, objects),
    })),
  };
}

/** The pages of a table that are not zeros, in order: for tables too large to have in memory. */
export function* pagesOf(table: ReadTable, objects: Objects): Generator<{ page: number; bytes: Uint8Array }> {
  const pageCount = Math.ceil(table.sizeBytes / table.pageBytes);
  if (pageCount === 0) return;
  let levels = 1;
  while (512 ** levels < pageCount) levels++;
  yield* pagesBelow(table.root, levels - 1, 0);

  function* pagesBelow(
    name: string,
    level: number,
    index: number,
  ): Generator<{ page: number; bytes: Uint8Array }> {
    if (name === ZEROS) return;
    const node = objects.content(name, 2);
    const entries = Math.min(512, Math.ceil(pageCount / 512 ** level) - 512 * index);
    if (node.length !== 32 * entries) refuse('length of a node');
    if (node.every((byte) => byte === 0)) refuse('node of zeros');
    for (let i = 0; i < entries; i++) {
      const child = hex(node.slice(32 * i, 32 * i + 32));
      if (child === ZEROS) continue;
      if (level > 0) {
        yield* pagesBelow(child, level - 1, 512 * index + i);
        continue;
      }
      const bytes = objects.content(child, 1);
      if (bytes.length !== table.pageBytes) refuse('length of a page');
      yield { page: 512 * index + i, bytes };
    }
  }
}

/** The objects of some packs, each checked against its name once. */
export class Objects {
  private readonly places = new Map<string, { pack: ReadPack; object: ReadObject }[]>();
  private readonly known = new Map<string, Uint8Array>();

  constructor(packs: Iterable<Uint8Array>) {
    for (const data of packs) {
      const pack = readPack(data);
      for (const object of pack.objects) {
        this.places.set(object.digest, [...(this.places.get(object.digest) ?? []), { pack, object }]);
      }
    }
  }

  content(digest: string, kind: number, undone = 0): Uint8Array {
    const known = this.known.get(digest);
    if (known !== undefined) return known;
    const places = this.places.get(digest) ?? refuse(`object ${digest} is missing`);
    const place = places.reduce((best, one) => (one.object.depth < best.object.depth ? one : best));
    const { object, pack } = place;
    if (object.kind !== kind) refuse('kind of an object');
    const content = new Uint8Array(object.length);
    if (object.pattern) for (let i = 0; i < content.length; i++) content[i] = object.pattern[i % 8]!;
    else content.set(pack.plain[object.frame]!.subarray(object.offset, object.offset + object.length));
    if (object.base) {
      if (undone === 8) refuse('too many deltas');
      const base = this.content(object.base, kind, undone + 1);
      if (base.length !== content.length) refuse('length of a base');
      for (let i = 0; i < content.length; i++) content[i]! ^= base[i]!;
    }
    if (hex(blake3(content)) !== digest) refuse(`object ${digest} is damaged`);
    this.known.set(digest, content);
    return content;
  }
}

function tableBytes(table: ReadTable, objects: Objects): Uint8Array {
  const bytes = new Uint8Array(table.sizeBytes);
  for (const { page, bytes: content } of pagesOf(table, objects)) {
    const at = page * table.pageBytes;
    const used = Math.min(table.pageBytes, table.sizeBytes - at);
    bytes.set(content.subarray(0, used), at);
    if (content.subarray(used).some((byte) => byte !== 0)) refuse('padding of the last page');
  }
  return bytes;
}
