// A pipe of bytes inside one program: a writer waits until what it wrote was taken, so that nothing piles up.

import type { OwnedBytes } from '../base/bytes.ts';
import { Mailbox } from './mailbox.ts';

export class BytePipe {
  readonly #mailbox = new Mailbox<{ readonly bytes: OwnedBytes; readonly taken: () => void }>();
  #waiting: (() => void) | null = null;

  /** Resolves when the bytes were taken, or nobody will take them. */
  write(bytes: OwnedBytes): Promise<void> {
    return new Promise((resolve) => {
      if (this.#mailbox.isClosed) resolve();
      else this.#mailbox.put({ bytes, taken: resolve });
      this.#waiting = resolve;
    });
  }

  /** No more will come. */
  end(): void {
    this.#mailbox.close();
  }

  /** Readers are refused, a writer goes on. */
  break(reason: unknown): void {
    this.#mailbox.break(reason);
    this.#waiting?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<OwnedBytes> {
    for (;;) {
      const next = await this.#mailbox.take();
      if (next === undefined) return;
      next.taken();
      yield next.bytes;
    }
  }
}
