// P1: find changed pages, digest, encode and XOR pages: the kernels and LZ4 (`lz4.ts`) against what else there is.
//
// A changed page differs in one byte at a random place. Throughputs are of guest memory: 256 MiB compared with a
// mirror in 32 ms are 8.4 GB/s, although twice that is read.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { createBLAKE3 } from 'hash-wasm';
import { compileKernels, type Kernels, loadKernels } from '../../src/kernel/index.ts';
import { lz4Rows } from './lz4.ts';
import { NativeBench, type NativeProcess } from './native.ts';
import { type BenchResult, type BenchRow, mediansOf, seeded, settle, takeTurns, throughput } from './row.ts';

const SEED = 1;
const TIMES = 9;
const PAGE_BYTES = 4096;
const GUEST_BYTES = 256 * 2 ** 20;
const PAGE_COUNT = GUEST_BYTES / PAGE_BYTES;
const CHANGED_PERCENT = [0, 1, 10, 100];
/** What digest and XOR work on: the changed pages of a usual save. */
const BATCH_BYTES = 32 * 2 ** 20;
const THREADS = 2;

const COMPARE_GOAL = 0.9;
const DIGEST_GOAL = 2;

type StartNative = (bytes: number, offsets: Uint32Array) => NativeProcess;

export async function run(): Promise<BenchRow> {
  const native = new NativeBench();
  try {
    const program = native.build('native-compare.c');
    const startNative: StartNative | undefined =
      program === undefined
        ? undefined
        : (bytes, offsets) =>
            native.start(program, String(bytes), native.put(new Uint8Array(offsets.buffer)));
    const kernels = await loadKernels();
    const lz4 = await lz4Rows(native);
    const results = [
      ...(await compareRows(kernels, startNative)),
      ...(await threadRows(startNative)),
      ...(await digestRows(kernels)),
      ...lz4.results,
      ...(await xorRows(kernels)),
    ];
    const notes = [
      `kernels: ${kernels.build} build; throughputs in GB/s of guest memory, one thread unless said otherwise`,
      ...lz4.notes,
    ];
    if (program === undefined) notes.push('no gcc: native memcmp is missing, and its goals are not judged');
    return { row: 'P1', results, notes };
  } finally {
    native.close();
  }
}

async function compareRows(kernels: Kernels, startNative: StartNative | undefined): Promise<BenchResult[]> {
  const { arena } = kernels;
  const mark = arena.mark();
  const guest = arena.allocate(GUEST_BYTES, PAGE_BYTES);
  const mirror = arena.allocate(GUEST_BYTES, PAGE_BYTES);
  const bits = arena.allocate(PAGE_COUNT / 8);
  const results: BenchResult[] = [];
  for (const percent of CHANGED_PERCENT) {
    const offsets = changedOffsets(percent);
    fillGuest(arena.words(guest, GUEST_BYTES / 4), arena.words(mirror, GUEST_BYTES / 4), offsets);
    const native = startNative?.(GUEST_BYTES, offsets);
    const left = signedWords(arena.words(guest, GUEST_BYTES / 4));
    const right = signedWords(arena.words(mirror, GUEST_BYTES / 4));
    const expect = (different: number) => {
      if (different !== offsets.length) throw new Error(`${different} pages differ, not ${offsets.length}`);
    };
    const timed = (fn: () => number) => () => {
      const start = performance.now();
      expect(fn());
      return performance.now() - start;
    };
    const turns = {
      native: async () => {
        if (native === undefined) return Number.NaN;
        const { ms, result } = await native.ask('c');
        expect(result);
        return ms;
      },
      // After the native peer: while that measures we rest, and a busy machine then treats both alike.
      ours: timed(() => kernels.comparePages(guest, mirror, PAGE_BYTES, PAGE_COUNT, bits)),
      words: timed(() => compareWords(left, right)),
      buffer: timed(() => compareBuffers(left, right)),
    };
    await settle({ ours: turns.ours, words: turns.words });
    const ms = await takeTurns(TIMES, turns);
    native?.close();
    const ours = throughput(GUEST_BYTES, ms.ours);
    const against = (peer: string, peerMs: number, goal?: number): BenchResult => ({
      name: `compare, ${percent} % changed, vs ${peer}`,
      value: peerMs / ms.ours,
      unit: 'x',
      better: 'higher',
      ...(goal === undefined ? {} : { goal }),
      ours,
      peer: throughput(GUEST_BYTES, peerMs),
    });
    if (native !== undefined) results.push(against('native memcmp', ms.native, COMPARE_GOAL));
    results.push(against('JS loop over words', ms.words), against('Buffer.compare per page', ms.buffer));
  }
  const copy = await mediansOf(TIMES, {
    compare: () => kernels.comparePages(guest, guest + GUEST_BYTES, PAGE_BYTES, PAGE_COUNT, bits),
    memcpy: () => arena.bytes(mirror, GUEST_BYTES).set(arena.bytes(guest, GUEST_BYTES)),
  });
  results.push({
    name: 'compare, equal, vs memcpy by TypedArray.set',
    value: copy.memcpy / copy.compare,
    unit: 'x',
    better: 'higher',
    ours: throughput(GUEST_BYTES, copy.compare),
    peer: throughput(GUEST_BYTES, copy.memcpy),
  });
  arena.release(mark);
  return results;
}

/** Two threads over one shared memory, against one of them, and against as many native processes. */
async function threadRows(startNative: StartNative | undefined): Promise<BenchResult[]> {
  const { arena, build } = await loadKernels({ shared: true });
  if (build === 'reference') return [];
  const guest = arena.allocate(GUEST_BYTES, PAGE_BYTES);
  const mirror = arena.allocate(GUEST_BYTES, PAGE_BYTES);
  const bits = arena.allocate(PAGE_COUNT / 8, 64);
  fillGuest(arena.words(guest, GUEST_BYTES / 4), arena.words(mirror, GUEST_BYTES / 4), new Uint32Array());

  const module = await compileKernels(build, true);
  const share = PAGE_COUNT / THREADS;
  const workers = Array.from({ length: THREADS }, (_, thread) => {
    const at = thread * share * PAGE_BYTES;
    const arguments_ = [guest + at, mirror + at, PAGE_BYTES, share, bits + (thread * share) / 8];
    return new Worker(WORKER, { eval: true, workerData: { module, memory: arena.memory, arguments_ } });
  });
  const work = async (some: readonly Worker[]) => {
    const answers = some.map((worker) => once(worker, 'message'));
    for (const worker of some) worker.postMessage('compare');
    await Promise.all(answers);
  };
  const natives = workers.map(() => startNative?.(GUEST_BYTES / THREADS, new Uint32Array()));
  await Promise.all(natives.map((native) => native?.ask('c')));

  const ms = await mediansOf(TIMES, {
    one: () => work(workers.slice(0, 1)),
    all: () => work(workers),
    natives: () => Promise.all(natives.map((native) => native?.ask('c'))),
  });
  await Promise.all(workers.map((worker) => worker.terminate()));
  for (const native of natives) native?.close();

  const ours = throughput(GUEST_BYTES, ms.all);
  const one = throughput(GUEST_BYTES / THREADS, ms.one);
  const results: BenchResult[] = [
    {
      name: `compare, ${THREADS} threads, vs one`,
      value: ours / one,
      unit: 'x',
      better: 'higher',
      ours,
      peer: one,
    },
  ];
  if (startNative !== undefined) {
    results.push({
      name: `compare, ${THREADS} threads, vs ${THREADS} processes of native memcmp`,
      value: ms.natives / ms.all,
      unit: 'x',
      better: 'higher',
      goal: COMPARE_GOAL,
      ours,
      peer: throughput(GUEST_BYTES, ms.natives),
    });
  }
  return results;
}

/** Plain JavaScript, since a worker of Node 20 takes no TypeScript: the loader's instance, no more. */
const WORKER = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { module, memory, arguments_ } = workerData;
  const { exports } = new WebAssembly.Instance(module, { env: { memory, scratch: 1024 } });
  parentPort.on('message', () => parentPort.postMessage(exports.comparePages(...arguments_)));
`;

async function digestRows(kernels: Kernels): Promise<BenchResult[]> {
  const { arena } = kernels;
  const results: BenchResult[] = [];
  const hasher = await createBLAKE3();
  for (const pageBytes of [PAGE_BYTES, 65_536]) {
    const mark = arena.mark();
    const pages = arena.allocate(BATCH_BYTES, PAGE_BYTES);
    const count = BATCH_BYTES / pageBytes;
    const digests = arena.allocate(32 * count);
    fillRandom(arena.words(pages, BATCH_BYTES / 4));
    const bytes = arena.bytes(pages, BATCH_BYTES);
    const timed = (fn: () => void) => () => {
      const start = performance.now();
      fn();
      return performance.now() - start;
    };
    const turns = {
      ours: timed(() => kernels.digestPages(pages, pageBytes, count, digests)),
      peer: timed(() => {
        for (let i = 0; i < count; i++) {
          hasher
            .init()
            .update(bytes.subarray(i * pageBytes, (i + 1) * pageBytes))
            .digest('binary');
        }
      }),
    };
    await settle(turns);
    const ms = await takeTurns(TIMES, turns);
    results.push({
      name: `BLAKE3 of ${pageBytes / 1024} KiB pages vs hash-wasm`,
      value: ms.peer / ms.ours,
      unit: 'x',
      better: 'higher',
      goal: DIGEST_GOAL,
      ours: throughput(BATCH_BYTES, ms.ours),
      peer: throughput(BATCH_BYTES, ms.peer),
    });
    arena.release(mark);
  }
  return results;
}

async function xorRows(kernels: Kernels): Promise<BenchResult[]> {
  const { arena } = kernels;
  const mark = arena.mark();
  const a = arena.allocate(BATCH_BYTES, PAGE_BYTES);
  const b = arena.allocate(BATCH_BYTES, PAGE_BYTES);
  const out = arena.allocate(BATCH_BYTES, PAGE_BYTES);
  fillRandom(arena.words(a, BATCH_BYTES / 4));
  fillRandom(arena.words(b, BATCH_BYTES / 4));
  const [left, right, delta] = [a, b, out].map((at) => signedWords(arena.words(at, BATCH_BYTES / 4))) as [
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  const ms = await mediansOf(TIMES, {
    ours: () => kernels.xorBytes(a, b, out, BATCH_BYTES),
    words: () => {
      for (let i = 0; i < delta.length; i++) delta[i] = left[i]! ^ right[i]!;
    },
    memcpy: () => delta.set(left),
  });
  arena.release(mark);
  return (['words', 'memcpy'] as const).map((peer) => ({
    name: `XOR vs ${peer === 'words' ? 'JS loop over words' : 'memcpy by TypedArray.set'}`,
    value: ms[peer] / ms.ours,
    unit: 'x',
    better: 'higher',
    ours: throughput(BATCH_BYTES, ms.ours),
    peer: throughput(BATCH_BYTES, ms[peer]),
  }));
}

/** Byte offsets, one in each changed page. */
function changedOffsets(percent: number): Uint32Array {
  const random = seeded(SEED);
  const offsets: number[] = [];
  for (let page = 0; page < PAGE_COUNT; page++) {
    if (random() % 100 < percent) offsets.push(page * PAGE_BYTES + (random() % PAGE_BYTES));
  }
  return Uint32Array.from(offsets);
}

function fillGuest(guest: Uint32Array, mirror: Uint32Array, offsets: Uint32Array): void {
  for (let i = 0; i < guest.length; i++) guest[i] = Math.imul(i, 2_654_435_761);
  mirror.set(guest);
  for (const offset of offsets) mirror[offset >> 2]! ^= 1 << (8 * (offset & 3));
}

function fillRandom(words: Uint32Array): void {
  const random = seeded(SEED);
  for (let i = 0; i < words.length; i++) words[i] = random();
}

/** The peers' view: signed words are what V8 handles without going through doubles. */
function signedWords(words: Uint32Array): Int32Array {
  return new Int32Array(words.buffer, words.byteOffset, words.length);
}

function compareWords(a: Int32Array, b: Int32Array): number {
  const pageWords = PAGE_BYTES / 4;
  let different = 0;
  for (let start = 0; start < a.length; start += pageWords) {
    if (wordsDiffer(a, b, start, start + pageWords)) different++;
  }
  return different;
}

/** A function of its own: it is compiled early, which the loop around it is not. */
function wordsDiffer(a: Int32Array, b: Int32Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (a[i] !== b[i]) return true;
  return false;
}

function compareBuffers(a: Int32Array, b: Int32Array): number {
  const left = Buffer.from(a.buffer, a.byteOffset, a.byteLength);
  const right = Buffer.from(b.buffer, b.byteOffset, b.byteLength);
  let different = 0;
  for (let at = 0; at < left.length; at += PAGE_BYTES) {
    if (left.compare(right, at, at + PAGE_BYTES, at, at + PAGE_BYTES) !== 0) different++;
  }
  return different;
}
