// What the suites of the store contract have in common: the subject, the test runner, and comparing codes and bytes.

import { equalBytes } from '../../base/bytes.ts';
import { isVitrineError } from '../../base/error.ts';
import type { Key, Store } from '../../store/store.ts';
import type { Random } from '../random.ts';

/** An empty store, and a way to look at what it keeps through another one. */
export interface StoreSubject {
  readonly store: Store;
  /** Opens another store on the same contents, as another tab or process would; the first may still be open. */
  reopen(): Promise<Store>;
  /** Closes every store of this subject and removes what they kept. */
  destroy(): Promise<void>;
}

/** What the suite needs of a test runner; vitest, jest and node-mocha with an `expect` have it. */
export interface StoreTestApi {
  describe(name: string, body: () => void): void;
  it(name: string, body: () => Promise<void>, timeoutMs?: number): void;
  expect(actual: unknown): { toBe(expected: unknown): void; toEqual(expected: unknown): void };
}

/** What each suite gets. */
export interface StoreSuite {
  /** A test that gets a subject of its own, destroyed whatever happens. */
  test(title: string, body: (subject: StoreSubject) => Promise<void>): void;
  readonly expect: StoreTestApi['expect'];
  /** Expects that a key holds exactly these bytes, or nothing. */
  expectHeld(store: Store, key: Key, bytes: Uint8Array | undefined): Promise<void>;
  readonly random: Random;
}

/** How a call ended: `done`, or the code that it threw. Other errors are passed on. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'done';
  } catch (error) {
    if (!isVitrineError(error)) throw error;
    return error.code;
  }
}

/** Says in what bytes differ, in a few words. */
export function difference(actual: Uint8Array | undefined, expected: Uint8Array | undefined): string {
  if (actual === undefined || expected === undefined) {
    return actual === expected
      ? 'none'
      : `${actual === undefined ? 'absent' : 'present'}, expected otherwise`;
  }
  if (actual.length !== expected.length) return `${actual.length} bytes, expected ${expected.length}`;
  if (equalBytes(actual, expected)) return 'none';
  return `byte ${actual.findIndex((byte, i) => byte !== expected[i])} of ${actual.length} differs`;
}
