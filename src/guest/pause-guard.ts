// The state every guest has apart from its machine: running, paused so many times, closed. An adapter asks it before
// each call, so that a call at the wrong time is refused in the same words by every guest.
//
// It does not stop anything by itself: `pause` and `resume` tell the adapter when to.

import { VitrineError } from '../base/error.ts';

export class PauseGuard {
  #depth = 0;
  #closed = false;

  /** `running`, `paused` or `closed`. */
  get state(): 'running' | 'paused' | 'closed' {
    if (this.#closed) return 'closed';
    return this.#depth > 0 ? 'paused' : 'running';
  }

  /** Counts a pause. Returns true when it is the first one: the adapter stops its machine. Throws `guest-closed`. */
  pause(): boolean {
    this.requireOpen();
    this.#depth++;
    return this.#depth === 1;
  }

  /**
   * Takes a pause back. Returns true when it was the last one: the adapter lets its machine run.
   *
   * Throws `guest-closed`, and `wrong-state` when the guest is not paused.
   */
  resume(): boolean {
    this.requirePaused();
    this.#depth--;
    return this.#depth === 0;
  }

  /** Throws `guest-closed` after the end. */
  requireOpen(): void {
    if (this.#closed) throw new VitrineError('guest-closed');
  }

  /** Throws `wrong-state` unless the guest is paused, `guest-closed` after the end. */
  requirePaused(): void {
    this.#require('paused');
  }

  /** Throws `wrong-state` unless the guest runs, `guest-closed` after the end. */
  requireRunning(): void {
    this.#require('running');
  }

  /** Ends it. Returns true the first time. */
  close(): boolean {
    const first = !this.#closed;
    this.#closed = true;
    return first;
  }

  #require(required: 'running' | 'paused'): void {
    this.requireOpen();
    const actual = this.state;
    if (actual !== required) throw new VitrineError('wrong-state', { actual, required });
  }
}
