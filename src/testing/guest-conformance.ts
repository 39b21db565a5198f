// What every guest must do, as tests: run it against a new adapter before anything else. It asks only what the port
// says, so the flat guest and a whole PC pass the same lines.
//
//   import { describe, expect, it } from 'vitest';
//   guestConformance('my guest', async () => ({ guest: await openMine(), run: … }), { describe, expect, it });

import { barrierSuite } from './guest-suites/barrier.ts';
import { devicesSuite } from './guest-suites/devices.ts';
import { dirtySuite } from './guest-suites/dirty.ts';
import { lifecycleSuite } from './guest-suites/lifecycle.ts';
import { memorySuite } from './guest-suites/memory.ts';
import { restoreSuite } from './guest-suites/restore.ts';
import type { OpenSubject, TestApi } from './guest-suites/subject.ts';

export type { OpenSubject, Subject, TestApi } from './guest-suites/subject.ts';

/**
 * Registers the suite under `name`. `open` gives a new guest at each call, all of one configuration and all in the
 * same state; the suite closes what it opened.
 */
export function guestConformance(name: string, open: OpenSubject, api: TestApi): void {
  lifecycleSuite(name, open, api);
  memorySuite(name, open, api);
  dirtySuite(name, open, api);
  barrierSuite(name, open, api);
  devicesSuite(name, open, api);
  restoreSuite(name, open, api);
}
