// P1's rows of LZ4: the codec that saves use, over groups as packs have them and over single pages, against liblz4 built here,
// or against the deflate of Node where that is missing.
//
// The data is what lies in a guest's memory, made of real programs and of tables: code, text, words that point, and noise.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Codec } from '../../src/codec/codec.ts';
import { loadLz4 } from '../../src/codec/lz4.ts';
import type { NativeBench } from './native.ts';
import { type BenchResult, seeded, settle, takeTurns, throughput } from './row.ts';

const TIMES = 9;
const DATA_BYTES = 16 * 2 ** 20;
const PAGE_BYTES = 4096;
const GROUPS = [65_536, PAGE_BYTES];
/** Each is a kind of page, and comes in turn. */
const PROGRAMS = ['v86/build/v86.wasm', 'v86/build/libv86.mjs'];

export interface Lz4Rows {
  readonly results: readonly BenchResult[];
  readonly notes: readonly string[];
}

export async function lz4Rows(native: NativeBench): Promise<Lz4Rows> {
  const data = memoryLikeBytes();
  const codec = await loadLz4();
  const program = native.build('native-lz4.c', ['lz4']);
  const path = native.put(data);
  const results: BenchResult[] = [];
  const notes: string[] = [];
  for (const groupBytes of GROUPS) {
    const groups = Array.from({ length: DATA_BYTES / groupBytes }, (_, at) =>
      data.subarray(at * groupBytes, (at + 1) * groupBytes),
    );
    const encoded = groups.map((group) => encodeGroup(codec, group));
    checkDecoded(codec, encoded, groups);
    const peer = program === undefined ? deflatePeer(groups) : lz4Peer(native, program, path, groupBytes);
    // Ours comes after the peer: while that measures we rest, as it rests while we do, and a busy machine treats both alike.
    const turns = {
      peerEncode: peer.encode,
      encode: timed(() => {
        for (const group of groups) codec.encode(group, 'fast');
      }),
      peerDecode: peer.decode,
      decode: timed(() => {
        for (const block of encoded) codec.decode(block, groupBytes);
      }),
    };
    await settle(turns);
    const ms = await takeTurns(TIMES, turns);
    const kib = groupBytes / 1024;
    const row = (name: string, ours: number, peerMs: number): BenchResult => ({
      name: `LZ4, ${kib} KiB ${groupBytes === PAGE_BYTES ? 'pages' : 'groups'}, ${name} vs ${peer.name}`,
      value: peerMs / ours,
      unit: 'x',
      better: 'higher',
      ours: throughput(DATA_BYTES, ours),
      peer: throughput(DATA_BYTES, peerMs),
    });
    results.push(row('encode', ms.encode, ms.peerEncode), row('decode', ms.decode, ms.peerDecode));
    const bytes = encoded.reduce((sum, { length }) => sum + length, 0);
    const size = (of: number) => `${Math.round((100 * of) / DATA_BYTES)} %`;
    notes.push(
      `LZ4 of ${kib} KiB leaves ${size(bytes)} of the bytes, ${peer.name} ${size(await peer.bytes())}.`,
    );
  }
  return { results, notes };
}

interface Lz4Peer {
  readonly name: string;
  encode(): Promise<number> | number;
  decode(): Promise<number> | number;
  /** What it encodes everything to. */
  bytes(): Promise<number> | number;
}

function lz4Peer(native: NativeBench, program: string, path: string, groupBytes: number): Lz4Peer {
  const process = native.start(program, path, String(groupBytes));
  return {
    name: 'native liblz4',
    encode: async () => (await process.ask('e')).ms,
    async decode() {
      const { ms, result } = await process.ask('d');
      if (result !== DATA_BYTES) throw new Error(`liblz4 decoded ${result} bytes`);
      return ms;
    },
    bytes: async () => (await process.ask('e')).result,
  };
}

function deflatePeer(groups: readonly Uint8Array[]): Lz4Peer {
  const encoded = groups.map((group) => deflateRawSync(group, { level: 1 }));
  return {
    name: 'deflate -1 of Node',
    encode: timed(() => {
      for (const group of groups) deflateRawSync(group, { level: 1 });
    }),
    decode: timed(() => {
      for (const block of encoded) inflateRawSync(block);
    }),
    bytes: () => encoded.reduce((sum, { length }) => sum + length, 0),
  };
}

function timed(fn: () => void): () => number {
  return () => {
    const start = performance.now();
    fn();
    return performance.now() - start;
  };
}

function encodeGroup(codec: Codec, group: Uint8Array): Uint8Array {
  const encoded = codec.encode(group, 'fast');
  if (encoded === undefined) throw new Error('LZ4 declined a group');
  // It is valid until the codec's next call.
  return Uint8Array.from(encoded);
}

function checkDecoded(codec: Codec, encoded: readonly Uint8Array[], groups: readonly Uint8Array[]): void {
  for (const [at, group] of groups.entries()) {
    const decoded = codec.decode(encoded[at]!, group.length);
    if (Buffer.compare(decoded, group) !== 0) throw new Error(`group ${at} does not decode to itself`);
  }
}

/** Pages of programs, of pointers and counts, and one in eight of noise, in turn and in runs of four. */
function memoryLikeBytes(): Uint8Array {
  const require = createRequire(import.meta.url);
  const programs = PROGRAMS.map((name) => readFileSync(require.resolve(name)));
  const random = seeded(1);
  const data = new Uint8Array(DATA_BYTES);
  const words = new Uint32Array(data.buffer);
  for (let page = 0; page < DATA_BYTES / PAGE_BYTES; page++) {
    const at = page * PAGE_BYTES;
    const kind = (page >> 2) % 8;
    const program = programs[kind % 2]!;
    if (kind < 4) {
      const from = (page * PAGE_BYTES) % (program.length - PAGE_BYTES);
      data.set(program.subarray(from, from + PAGE_BYTES), at);
      continue;
    }
    for (let word = at / 4; word < (at + PAGE_BYTES) / 4; word++) {
      // A table: pointers into one area, small counts, and nothing.
      const table = [0xc000_0000 + (random() % 2 ** 20) * 16, random() % 64, 0][word % 3]!;
      words[word] = kind === 7 ? random() : table;
    }
  }
  return data;
}
