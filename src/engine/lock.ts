// Who may use the store at once. Saves share it; collecting garbage, which removes what nothing names yet, has it
// alone. In a browser this is the platform's Web Lock, which also covers other tabs and ends with its holder.

/** A lock that many may share or one may have alone. */
export interface Lock {
  shared<T>(work: () => Promise<T>): Promise<T>;
  exclusive<T>(work: () => Promise<T>): Promise<T>;
}

/** A fair lock for one process: whoever asks first goes first. */
export class LocalLock implements Lock {
  #sharers = 0;
  #held = false;
  readonly #queue: { readonly exclusive: boolean; readonly start: () => void }[] = [];

  shared<T>(work: () => Promise<T>): Promise<T> {
    return this.#run(false, work);
  }

  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.#run(true, work);
  }

  async #run<T>(exclusive: boolean, work: () => Promise<T>): Promise<T> {
    await new Promise<void>((resolve) => {
      this.#queue.push({ exclusive, start: resolve });
      this.#admit();
    });
    try {
      return await work();
    } finally {
      if (exclusive) this.#held = false;
      else this.#sharers--;
      this.#admit();
    }
  }

  #admit(): void {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (this.#held || (next.exclusive && this.#sharers > 0)) return;
      this.#queue.shift();
      if (next.exclusive) this.#held = true;
      else this.#sharers++;
      next.start();
    }
  }
}
