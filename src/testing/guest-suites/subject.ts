// What the conformance suite is given: a guest with something to do, and the functions of a test runner.

import { VitrineError } from '../../base/error.ts';
import type { Guest } from '../../guest/guest.ts';

/** A guest under test. */
export interface Subject {
  readonly guest: Guest;
  /**
   * Lets the running guest go on from where it is, always by the same amount, and tells what it did: output, counters,
   * a checksum. From equal states the answers are equal; some of the guest's state is changed each time.
   */
  run(): Promise<string>;
  /** Whether equal runs leave equal memory and devices too: not so where a clock shows in them. True when left out. */
  readonly exact?: boolean;
}

export type OpenSubject = () => Promise<Subject>;

/** What the suite needs of a test runner: vitest and jest have it. */
export interface TestApi {
  describe(name: string, body: () => void): void;
  it(name: string, body: () => Promise<void>): void;
  expect(actual: unknown): {
    toBe(expected: unknown): void;
    toEqual(expected: unknown): void;
  };
}

/** A test with a guest of its own that is closed at its end. */
export type GuestTest = (title: string, body: (subject: Subject, guest: Guest) => Promise<void>) => void;

export function guestTest(open: OpenSubject, api: TestApi): GuestTest {
  return (title, body) =>
    api.it(title, async () => {
      const subject = await open();
      try {
        await body(subject, subject.guest);
      } finally {
        await subject.guest.close();
      }
    });
}

/** Runs `work` while the guest is paused. */
export async function whilePaused<T>(guest: Guest, work: () => T | Promise<T>): Promise<T> {
  await guest.pause();
  try {
    return await work();
  } finally {
    await guest.resume();
  }
}

/** The code of what a call throws, or `none`. What is not a VitrineError is a failure of the test. */
export async function codeOf(call: () => unknown): Promise<string> {
  try {
    await call();
    return 'none';
  } catch (error) {
    if (error instanceof VitrineError) return error.code;
    throw error;
  }
}
