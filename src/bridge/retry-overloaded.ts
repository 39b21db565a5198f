// Trying again what a host was too busy for: it says when, and has done nothing of it.

import { isVitrineError } from '../base/error.ts';
import { type Wait, waitByTimer } from './back-off.ts';

/** Refusals after which it is given up. */
const MAX_TRIES = 10;
/** The longest wait that a host may ask for. */
const MAX_WAIT_MS = 5000;

/** Runs `work` until it is not refused with `overloaded`. Throws what it throws, `aborted`. */
export async function retryOverloaded<Result>(
  work: () => Promise<Result>,
  signal: AbortSignal | undefined,
  wait: Wait = waitByTimer,
): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!isVitrineError(error, 'overloaded') || tries === MAX_TRIES) throw error;
      const { retryAfterMs } = error.data;
      if (typeof retryAfterMs !== 'number' || !(retryAfterMs >= 0)) throw error;
      await wait(Math.min(retryAfterMs, MAX_WAIT_MS), signal ?? new AbortController().signal);
    }
  }
}
