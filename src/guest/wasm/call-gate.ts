// Counts the calls that are inside a WebAssembly program, since only between them is its state all in its instance:
// inside one, locals and return addresses lie on the engine's stack, where nobody can read them.
//
//            pause: no call inside                   pause: calls inside
//   running ───────────────────────▶ paused    running ─────────────────▶ pausing ──last call ends──▶ paused
//
// Nested calls (an import that calls an export) and asynchronous ones (`enter`) count alike. Calls through a table that
// the host makes by itself are not seen: a host that does so runs them inside `enter`.

import { VitrineError } from '../../base/error.ts';

/** How long a pause waits for calls to end, where its caller does not say. */
const DEFAULT_WAIT_MS = 5_000;

export class CallGate {
  #depth = 0;
  #state: 'running' | 'pausing' | 'paused' | 'closed' = 'running';
  /** Told when the last call has left. */
  #onEmpty: (() => void) | undefined;
  /** Told when the last call has left and no pause waits for it: the program rests, for this moment at least. */
  onRest: (() => void) | undefined;
  /** Told when the gate is open again. */
  #waiting: (() => void)[] = [];

  /** Calls that are inside now. */
  get depth(): number {
    return this.#depth;
  }

  /** No call is inside, and none comes in. */
  get isShut(): boolean {
    return this.#state === 'paused';
  }

  /**
   * The function behind the gate: it throws `wrong-state` while the program is paused, `guest-closed` after the end.
   *
   * A promise that it returns does not count as being inside; use `enter` for such calls.
   */
  wrap(call: (...args: unknown[]) => unknown): (...args: unknown[]) => unknown {
    const wrapped = (...args: unknown[]): unknown => {
      this.#enterNow();
      try {
        return call(...args);
      } finally {
        this.#leave();
      }
    };
    // Emscripten checks the number of arguments against it.
    Object.defineProperty(wrapped, 'length', { value: call.length });
    return wrapped;
  }

  /** Waits until the program runs, then counts as inside until what `work` returns has settled. */
  async enter<T>(work: () => T | Promise<T>): Promise<T> {
    while (this.#state === 'paused' || this.#state === 'pausing') {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#enterNow();
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  /**
   * Shuts the gate as soon as no call is inside.
   *
   * Throws `guest-not-quiescent` when one still is after `waitMs`, `guest-closed` when it was closed meanwhile; the
   * program then runs on.
   */
  async shut(waitMs = DEFAULT_WAIT_MS): Promise<void> {
    if (this.#depth > 0) {
      this.#state = 'pausing';
      const left = await this.#untilEmpty(waitMs);
      // Read anew: the wait may have ended by `close`.
      if (this.#isClosed()) throw new VitrineError('guest-closed');
      if (!left) {
        this.open();
        throw new VitrineError('guest-not-quiescent', { callDepth: this.#depth, waitedMs: waitMs });
      }
    }
    this.#state = 'paused';
  }

  /** As `shut`, where no call is inside. Throws `guest-not-quiescent` otherwise; the program then runs on. */
  shutNow(): void {
    if (this.#depth > 0) {
      throw new VitrineError('guest-not-quiescent', { callDepth: this.#depth, waitedMs: 0 });
    }
    this.#state = 'paused';
  }

  /** Lets calls in again, those that wait first. */
  open(): void {
    if (this.#state === 'closed') return;
    this.#state = 'running';
    this.#wakeAll();
  }

  /** Refuses every call from now on. */
  close(): void {
    this.#state = 'closed';
    this.#onEmpty?.();
    this.#wakeAll();
  }

  #enterNow(): void {
    if (this.#state === 'closed') throw new VitrineError('guest-closed');
    if (this.#state === 'paused') {
      throw new VitrineError('wrong-state', { actual: 'paused', required: 'running' });
    }
    this.#depth++;
  }

  #leave(): void {
    this.#depth--;
    if (this.#depth > 0) return;
    this.#onEmpty?.();
    this.onRest?.();
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #wakeAll(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** Whether the last call left in time. */
  async #untilEmpty(waitMs: number): Promise<boolean> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      return await new Promise<boolean>((resolve) => {
        this.#onEmpty = () => resolve(true);
        timer = setTimeout(() => resolve(false), waitMs);
      });
    } finally {
      clearTimeout(timer);
      this.#onEmpty = undefined;
    }
  }
}
