// What every store must do, as tests: run it against a new store before anything else.
//
//   import { describe, expect, it } from 'vitest';
//   storeContract('my store', openSubject, { describe, expect, it });
//
// Each test opens a subject of its own. Error codes are compared, never messages; bytes are compared here and not
// by the test runner, which takes seconds for a megabyte. Crashes, full disks and lost power need means of their
// own and are asked in the tests of each store.

import { Random } from './random.ts';
import { keysSuite } from './store-suites/keys.ts';
import { lifetimeSuite } from './store-suites/lifetime.ts';
import { objectsSuite } from './store-suites/objects.ts';
import { randomCallsSuite } from './store-suites/random-calls.ts';
import { refsSuite } from './store-suites/refs.ts';
import { difference, type StoreSubject, type StoreSuite, type StoreTestApi } from './store-suites/subject.ts';

export type { StoreSubject, StoreTestApi } from './store-suites/subject.ts';

export interface StoreContractOptions {
  /** Seed of the random calls; printed when they fail. */
  readonly seed?: number;
}

const TIMEOUT_MS = 60_000;

/** Declares the tests of the Store port for one store; `open` gives an empty one at each call. */
export function storeContract(
  name: string,
  open: () => Promise<StoreSubject>,
  { describe, it, expect }: StoreTestApi,
  { seed = 1 }: StoreContractOptions = {},
): void {
  const suite: StoreSuite = {
    expect,
    random: new Random(seed),
    test(title, body) {
      const whole = async (): Promise<void> => {
        const subject = await open();
        try {
          await body(subject);
        } finally {
          await subject.destroy();
        }
      };
      it(title, whole, TIMEOUT_MS);
    },
    async expectHeld(store, key, bytes) {
      expect(difference(await store.get(key), bytes)).toBe('none');
    },
  };
  describe(`store contract: ${name}`, () => {
    objectsSuite(suite);
    keysSuite(suite);
    refsSuite(suite);
    lifetimeSuite(suite);
    randomCallsSuite(suite);
  });
}
