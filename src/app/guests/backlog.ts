// Output of a guest that runs before anyone listens: the first listener gets all of it.

const MAX_CHARACTERS = 100_000;

export class Backlog {
  readonly #listeners = new Set<(text: string) => void>();
  #waiting = '';

  take(text: string): void {
    if (this.#listeners.size === 0) this.#waiting = (this.#waiting + text).slice(-MAX_CHARACTERS);
    for (const listener of this.#listeners) listener(text);
  }

  /** Calls `listener` with what has waited and with all that comes. Returns how to stop. */
  listen(listener: (text: string) => void): () => void {
    if (this.#waiting !== '') listener(this.#waiting);
    this.#waiting = '';
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
