// Waiting longer after each failure, and never two clients in step.

import { VitrineError } from '../base/error.ts';

export interface BackOffOptions {
  readonly firstMs: number;
  readonly mostMs: number;
  /** Failures after which it is given up. */
  readonly maxAttempts: number;
}

export const BACK_OFF: BackOffOptions = { firstMs: 250, mostMs: 15_000, maxAttempts: 60 };

/** Milliseconds to wait after so many failures (1 and more): half of it chance. `random` is from 0 to 1. */
export function backOffMs(attempt: number, random: number, options: BackOffOptions = BACK_OFF): number {
  const wholeMs = Math.min(options.mostMs, options.firstMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(wholeMs / 2 + (wholeMs / 2) * random);
}

/** Waits; an abort ends it early with `aborted`. */
export type Wait = (ms: number, signal: AbortSignal) => Promise<void>;

export const waitByTimer: Wait = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    const stop = (): void => {
      clearTimeout(timer);
      reject(new VitrineError('aborted'));
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });

/** A number from 0 to 1 that others cannot foresee. */
export function randomFraction(): number {
  const [a, b] = crypto.getRandomValues(new Uint8Array(2));
  return ((a ?? 0) * 256 + (b ?? 0)) / 65_535;
}
