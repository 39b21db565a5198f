// What a tracker is in the middle of, and so which calls may come: one that takes time at once, each in its phase.

import { VitrineError } from '../base/error.ts';

export class Phase<Name extends string> {
  #now: Name | 'working' | 'closed';
  /** Settles when the call under way does. */
  #working: Promise<unknown> = Promise.resolve();

  constructor(first: Name) {
    this.#now = first;
  }

  is(name: Name | 'closed'): boolean {
    return this.#now === name;
  }

  /** Throws `guest-closed`, and `wrong-state` in any other phase. */
  require(name: Name): void {
    this.requireOpen();
    if (this.#now !== name) throw new VitrineError('wrong-state', { actual: this.#now, required: name });
  }

  /** Throws `guest-closed`. */
  requireOpen(): void {
    if (this.#now === 'closed') throw new VitrineError('guest-closed');
  }

  /** A tracker that was closed meanwhile stays so. */
  become(name: Name): void {
    if (this.#now !== 'closed') this.#now = name;
  }

  /** Runs `work` between two phases; a failure leads to `back`, where it came from when left out. Throws as `require`. */
  async run<T>(from: Name, to: Name, work: () => Promise<T>, back = from): Promise<T> {
    this.require(from);
    this.#now = 'working';
    const working = work();
    this.#working = working.catch(() => {});
    try {
      const result = await working;
      this.become(to);
      return result;
    } catch (error) {
      this.become(back);
      throw error;
    }
  }

  /** Resolves when the call under way has ended, either way. */
  async ended(): Promise<void> {
    await this.#working;
  }

  /** For good. */
  close(): void {
    this.#now = 'closed';
  }
}
