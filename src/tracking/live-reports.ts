// What live captures cost guests that no barrier watches.

import type { LiveReport } from './tracker.ts';

const NONE = {
  longestStallMs: 0,
  totalStallMs: 0,
  pagesCopiedAside: 0,
  spilled: 0,
  peakRingBytes: 0,
  ringBytes: 0,
} as const;

/** Of a guest whose process sent its memory. */
export function streamReport(pauseMs: number): LiveReport {
  return { mode: 'stream', pauseMs, ...NONE };
}

/** Of a guest that rested for the whole of it. */
export function restReport(pauseMs: number, reason: string): LiveReport {
  return { mode: 'stopped', reason, pauseMs, ...NONE };
}
