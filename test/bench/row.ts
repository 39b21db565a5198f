// What a row of the benchmark is, and how its numbers are taken.
//
// Data is generated from a seed first. A number is a median of at least seven; a ratio is between things that took
// turns in the same run, so that a machine that slows down slows down both.

/** One row of performance.md. A file `p<N>.ts` in this folder exports `run(): Promise<BenchRow>`. */
export interface BenchRow {
  /** P1, P2, … as the file is called. */
  readonly row: string;
  readonly results: readonly BenchResult[];
  /** What a reader has to know to judge the numbers: a peer that is missing, the limit of the machine. */
  readonly notes?: readonly string[];
}

export interface BenchResult {
  readonly name: string;
  /** What is judged, often `ours / peer`. */
  readonly value: number;
  /** `x` for a ratio, else `GB/s`, `ms`, `bytes`, … */
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  /** Absent where performance.md sets none. */
  readonly goal?: number;
  /** What `value` is made of, in a unit that the name tells. */
  readonly ours: number;
  readonly peer?: number;
}

const MIN_TIMES = 7;
const GIGA = 1e9;

/** The median duration of `times` calls, in milliseconds, after one that does not count. */
export async function medianOf(times: number, fn: () => unknown): Promise<number> {
  const { only } = await mediansOf(times, { only: fn });
  return only;
}

/** The median duration of each function, in milliseconds; they take turns, `times` rounds after one for nothing. */
export async function mediansOf<Name extends string>(
  times: number,
  functions: Readonly<Record<Name, () => unknown>>,
): Promise<Record<Name, number>> {
  return takeTurns(
    times,
    mapValues(functions, (fn) => async () => {
      const start = performance.now();
      await fn();
      return performance.now() - start;
    }),
  );
}

/** As `mediansOf`, of functions that return their own duration in milliseconds: what another process measured. */
export async function takeTurns<Name extends string>(
  times: number,
  measure: Readonly<Record<Name, () => Promise<number> | number>>,
): Promise<Record<Name, number>> {
  const names = Object.keys(measure) as Name[];
  const durations = mapValues(measure, () => [] as number[]);
  for (let round = 0; round <= Math.max(times, MIN_TIMES); round++) {
    for (const name of names) {
      const ms = await measure[name]();
      if (round > 0) durations[name].push(ms);
    }
  }
  return mapValues(durations, median);
}

/** Rounds after which nothing may have become faster, and the most there are. */
const SETTLED_ROUNDS = 4;
const MAX_WARM_ROUNDS = 60;

/**
 * Lets functions that return their own duration take turns until none gets faster any more.
 *
 * V8 runs WebAssembly by quick code first and exchanges it, call by call, when a thread beside has compiled better. A
 * function that is called once a round and loops inside kept the quick code for all of a measurement when cores were
 * busy: BLAKE3 was then 1.08 times hash-wasm and not 2.3 times, since hash-wasm is called for each page.
 */
export async function settle(
  measure: Readonly<Record<string, () => Promise<number> | number>>,
): Promise<void> {
  const best = mapValues(measure, () => ({ ms: Number.POSITIVE_INFINITY, round: 0 }));
  for (let round = 0; round < MAX_WARM_ROUNDS; round++) {
    for (const [name, fn] of Object.entries(measure)) {
      const ms = await fn();
      // A little faster is chance.
      if (ms < 0.97 * best[name]!.ms) best[name] = { ms, round };
    }
    if (Object.values(best).every((one) => round - one.round >= SETTLED_ROUNDS)) return;
  }
}

/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

/** GB/s (10^9 bytes) of so many bytes in so many milliseconds. */
export function throughput(bytes: number, ms: number): number {
  return bytes / GIGA / (ms / 1000);
}

/** A generator of 32-bit numbers from a seed (xorshift). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

function mapValues<Name extends string, From, To>(
  record: Readonly<Record<Name, From>>,
  map: (value: From) => To,
): Record<Name, To> {
  const entries = Object.entries<From>(record).map(([name, value]) => [name, map(value)]);
  // Safe: the same keys.
  return Object.fromEntries(entries) as Record<Name, To>;
}
