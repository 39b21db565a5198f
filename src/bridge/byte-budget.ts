// A budget of bytes that calls take from in turn: what they hold together is bounded, however many there are.

import { throwIfAborted } from '../base/work.ts';

export class ByteBudget {
  readonly #capacityBytes: number;
  #takenBytes = 0;
  #waiting: (() => void)[] = [];

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  /**
   * Waits for `bytes` of it; more than there ever are is to be had when nobody else holds any. Returns how to give them
   * back, which may be called again. Throws `aborted`.
   */
  async take(bytes: number, signal: AbortSignal): Promise<() => void> {
    const wake = (): void => this.#wakeAll();
    signal.addEventListener('abort', wake);
    try {
      while (this.#takenBytes > 0 && this.#takenBytes + bytes > this.#capacityBytes) {
        throwIfAborted(signal);
        await new Promise<void>((resolve) => {
          this.#waiting.push(resolve);
        });
      }
      throwIfAborted(signal);
    } finally {
      signal.removeEventListener('abort', wake);
    }
    this.#takenBytes += bytes;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#takenBytes -= bytes;
      this.#wakeAll();
    };
  }

  #wakeAll(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
