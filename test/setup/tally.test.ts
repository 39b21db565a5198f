// The closing line of `npm test` is what everybody looks at: nothing may pass by not happening.

import { describe, expect, it } from 'vitest';
import { closingLineOf, failuresOf, lineOf, sumOf, tallyOfCheck, tallyOfVitest } from './tally.mjs';

const file = (...statuses: string[]) => ({
  status: statuses.includes('failed') ? 'failed' : 'passed',
  assertionResults: statuses.map((status) => ({ status })),
});

describe('tallyOfVitest', () => {
  it('counts tests by their status', () => {
    const report = { testResults: [file('passed', 'passed', 'skipped'), file('failed', 'todo')] };
    expect(tallyOfVitest(report, false)).toEqual({ passed: 2, failed: 1, skipped: 2 });
  });

  it('counts a file that did not load as one failure', () => {
    const report = { testResults: [file('passed'), { status: 'failed', assertionResults: [] }] };
    expect(tallyOfVitest(report, false)).toEqual({ passed: 1, failed: 1, skipped: 0 });
  });

  it('counts a run that failed beside its tests as one failure', () => {
    expect(tallyOfVitest({ testResults: [file('passed')] }, false).failed).toBe(1);
    expect(tallyOfVitest(undefined, false).failed).toBe(1);
  });

  it('counts a run without tests as one failure, also when all were skipped', () => {
    expect(tallyOfVitest({ testResults: [] }, true).failed).toBe(1);
    expect(tallyOfVitest({ testResults: [file('skipped')] }, true)).toEqual({
      passed: 0,
      failed: 1,
      skipped: 1,
    });
  });
});

describe('failuresOf', () => {
  it('says of each failure where and why, briefly', () => {
    const reason = Array.from({ length: 50 }, (_, line) => `line ${line}`).join('\n');
    const failures = failuresOf({
      testResults: [
        {
          name: 'a.test.ts',
          status: 'failed',
          assertionResults: [
            { status: 'passed', fullName: 'holds' },
            { status: 'failed', fullName: 'breaks', failureMessages: [reason] },
          ],
        },
        { name: 'b.test.ts', status: 'failed', message: 'no such module', assertionResults: [] },
      ],
    });
    expect(failures).toHaveLength(2);
    expect(failures[0]).toMatch(/^a\.test\.ts: breaks\n {2}line 0\n/);
    expect(failures[0]?.split('\n').length).toBeLessThan(20);
    expect(failures[1]).toBe('b.test.ts: (did not load)\n  no such module');
  });

  it('says nothing where nothing failed', () => {
    expect(failuresOf({ testResults: [file('passed')] })).toEqual([]);
    expect(failuresOf(undefined)).toEqual([]);
  });
});

describe('lineOf', () => {
  it('adds all lanes up', () => {
    const sum = sumOf([tallyOfCheck(true), tallyOfCheck(false), { passed: 3, failed: 0, skipped: 2 }]);
    expect(lineOf(sum)).toBe('4 passed, 1 failed, 2 skipped');
    expect(closingLineOf(sum)).toBe('4 passed, 1 failed');
    expect(lineOf(tallyOfCheck(true))).toBe('1 passed, 0 failed');
  });
});
