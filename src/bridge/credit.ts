// Credit: how much of a stream may be under way. Who receives it grants bytes, who sends it spends them; a stream starts
// with none, so that nobody ever holds more than it asked for.

import { VitrineError } from '../base/error.ts';
import { BRIDGE_LIMITS } from './bridge-limits.ts';

/** The sender's side: waits for leave to send. */
export class CreditPurse {
  #bytes = 0;
  #waiting: { readonly resolve: () => void; readonly reject: (reason: unknown) => void } | null = null;
  #broken: { readonly reason: unknown } | null = null;

  get bytes(): number {
    return this.#bytes;
  }

  /** Throws `format-limit` for more than a receiver may have outstanding, `format-range` for nothing. */
  grant(bytes: number): void {
    if (bytes === 0) throw new VitrineError('format-range', { record: 'credit', field: 'bytes', value: 0 });
    if (this.#bytes + bytes > BRIDGE_LIMITS.maxCreditBytes) {
      throw new VitrineError('format-limit', {
        record: 'credit',
        claimedBytes: this.#bytes + bytes,
        mostBytes: BRIDGE_LIMITS.maxCreditBytes,
      });
    }
    this.#bytes += bytes;
    this.#waiting?.resolve();
    this.#waiting = null;
  }

  /**
   * Takes from `least` to `most` bytes of credit, waiting until there are so many. One taker at a time.
   *
   * Throws what `break` was called with.
   */
  async take(least: number, most: number): Promise<number> {
    for (;;) {
      if (this.#broken !== null) throw this.#broken.reason;
      if (this.#bytes >= least) break;
      await new Promise<void>((resolve, reject) => {
        this.#waiting = { resolve, reject };
      });
    }
    const taken = Math.min(most, this.#bytes);
    this.#bytes -= taken;
    return taken;
  }

  /** Waits until there is some. Throws what `break` was called with. */
  async nonEmpty(): Promise<void> {
    await this.take(1, 0);
  }

  /** Ends the stream: whoever waits is refused, and so is every later taker. */
  break(reason: unknown): void {
    this.#broken ??= { reason };
    this.#waiting?.reject(reason);
    this.#waiting = null;
  }
}

/** The receiver's side: knows what it granted, and refuses a sender that sends more. */
export class CreditLedger {
  #outstanding = 0;
  /** Taken, and not granted again yet. */
  #due = 0;

  get outstandingBytes(): number {
    return this.#outstanding;
  }

  granted(bytes: number): void {
    this.#outstanding += bytes;
  }

  /** Counts what its receiver has done with; returns what to grant again now, 0 while that is not worth a frame. */
  taken(bytes: number): number {
    this.#due += bytes;
    if (this.#due < BRIDGE_LIMITS.creditStepBytes) return 0;
    const due = this.#due;
    this.#due = 0;
    return due;
  }

  /** Counts what came. Throws `format-limit` for more than was granted. */
  received(bytes: number): void {
    if (bytes > this.#outstanding) {
      throw new VitrineError('format-limit', {
        record: 'data',
        claimedBytes: bytes,
        mostBytes: this.#outstanding,
      });
    }
    this.#outstanding -= bytes;
  }
}
