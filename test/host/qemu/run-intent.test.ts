// What a killed owner meant to do is read by the next one, whatever it was set to last.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RunIntent } from '../../../src/host/qemu/run-intent.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vitrine-intent-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it.each([
  [false, false],
  [true, false],
  [false, true],
  [true, true],
])('is found as it was set: to run %s, being replaced %s', (shallRun, isBeingReplaced) => {
  const path = join(folder, 'intent');
  const one = new RunIntent(path);
  expect([one.shallRun, one.isBeingReplaced]).toEqual([false, false]);
  one.setShallRun(!shallRun);
  one.setBeingReplaced(!isBeingReplaced);
  one.setShallRun(shallRun);
  one.setBeingReplaced(isBeingReplaced);
  // It is not closed: its owner was killed.
  const next = new RunIntent(path);
  expect([next.shallRun, next.isBeingReplaced]).toEqual([shallRun, isBeingReplaced]);
  expect(readFileSync(path)).toHaveLength(2);
  one.close();
  next.close();
  next.setShallRun(!shallRun);
  expect(new RunIntent(path).shallRun).toBe(shallRun);
});
