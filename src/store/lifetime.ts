// From open to close: calls after `close` are refused, and `close` waits for those under way, so that nothing is
// written once it has resolved.

import { VitrineError } from '../base/error.ts';

/** Counts the calls of one open store. */
export class Lifetime {
  readonly #kind: string;
  readonly #running = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  constructor(kind: string) {
    this.#kind = kind;
  }

  /** Does `work`; throws `store-closed` instead once `close` was called. */
  async use<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) throw new VitrineError('store-closed', { kind: this.#kind });
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Refuses further calls, waits for those under way, then does `last`; once, however often it is called. */
  close(last?: () => Promise<void> | void): Promise<void> {
    this.#closed ??= this.#end(last);
    return this.#closed;
  }

  async #end(last: (() => Promise<void> | void) | undefined): Promise<void> {
    await Promise.allSettled(this.#running);
    await last?.();
  }
}
