// Long work: how it reports and how it is given up.

import { VitrineError } from './error.ts';

/** How far a piece of work has come. `total` is 0 while it is not known. */
export interface Progress {
  readonly phase: 'pause' | 'encode' | 'write' | 'commit' | 'plan' | 'read' | 'apply' | 'collect' | 'verify';
  readonly done: number;
  readonly total: number;
  readonly unit: 'bytes' | 'pages' | 'objects';
}

/** What every long call takes. */
export interface WorkOptions {
  /** Gives the work up: the guest goes on, dirty pages are put back, no snapshot is written. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** Throws `aborted` when the work was given up. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new VitrineError('aborted', {}, { cause: signal.reason });
}
