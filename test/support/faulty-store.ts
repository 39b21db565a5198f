// A store that fails by plan, one letter a call:
//
//   o   does it
//   E   fails before it does anything
//   e   does it, then reports a failure: the caller cannot know
//   K   dies before it does anything: this call and all later ones fail
//   k   does it and dies
//
// Calls past the end of the plan are done. To meet every failure there is, count up:
//
//   for (let n = 0; ; n++) {
//     const store = faulty(inner, failAt(n));
//     …                                    // the work, then what must hold
//     if (!store.failed) break;            // the work needs fewer than n calls
//   }
//
// After a death, `inner` opened again (or used as it is) shows what survived.

import { type ErrorCode, VitrineError } from '../../src/base/error.ts';
import type { Store } from '../../src/store/store.ts';

/** The verbs that a plan counts. */
export type Verb = 'put' | 'get' | 'list' | 'delete' | 'compareAndSwap';

export interface FaultOptions {
  /** What failed calls throw; `store-io` when left out. */
  readonly code?: ErrorCode;
  /** Counts, and fails, only these verbs; all when left out. */
  readonly only?: readonly Verb[];
}

/** A store with a plan. */
export interface FaultyStore extends Store {
  /** How many calls were counted, failed ones too. */
  readonly callCount: number;
  /** Whether any call failed by plan. */
  readonly failed: boolean;
  /** The counted calls, in order: `o put packs/3f…`. */
  readonly log: readonly string[];
}

/** The plan that does `n` calls and fails the next one. */
export function failAt(n: number, letter: 'E' | 'e' | 'K' | 'k' = 'E'): string {
  return 'o'.repeat(n) + letter;
}

/** Puts a plan before a store. */
export function faulty(store: Store, plan: string, options: FaultOptions = {}): FaultyStore {
  if (!/^[oEeKk]*$/.test(plan)) throw new Error(`not a plan of o, E, e, K, k: ${plan}`);
  const { code = 'store-io', only } = options;
  const log: string[] = [];
  let failed = false;
  let dead = false;

  const call = async <T>(verb: Verb, what: string, work: () => Promise<T>): Promise<T> => {
    if (dead) throw new VitrineError(code, { verb, what, planned: 'dead' });
    if (only !== undefined && !only.includes(verb)) return work();
    const letter = plan[log.length] ?? 'o';
    log.push(`${letter} ${verb} ${what}`);
    if (letter === 'o') return work();
    failed = true;
    if (letter === 'K' || letter === 'k') dead = true;
    if (letter === 'e' || letter === 'k') await work();
    throw new VitrineError(code, { verb, what, planned: letter });
  };

  return {
    traits: store.traits,
    put: (key, bytes) => call('put', key, () => store.put(key, bytes)),
    get: (key, range) => call('get', key, () => store.get(key, range)),
    list: (prefix) => call('list', prefix, () => store.list(prefix)),
    delete: (keys) => call('delete', keys.join(' '), () => store.delete(keys)),
    compareAndSwap: (ref, expected, next) =>
      call('compareAndSwap', ref, () => store.compareAndSwap(ref, expected, next)),
    close: () => (dead ? Promise.resolve() : store.close()),
    get callCount() {
      return log.length;
    },
    get failed() {
      return failed;
    },
    get log() {
      return log;
    },
  };
}
