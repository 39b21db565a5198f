// A mailbox: values put in as they come, taken out one after another as they are wanted. What may lie in it is bounded by
// the credit that its owner grants.

export class Mailbox<Value> {
  readonly #values: Value[] = [];
  #closed = false;
  #broken: { readonly reason: unknown } | null = null;
  #wake: (() => void) | null = null;

  /** Whether nothing more will be put in. */
  get isClosed(): boolean {
    return this.#closed || this.#broken !== null;
  }

  put(value: Value): void {
    this.#values.push(value);
    this.#wakeTaker();
  }

  /** No more will come. */
  close(): void {
    this.#closed = true;
    this.#wakeTaker();
  }

  /** What lies in it is lost, and takers are refused. */
  break(reason: unknown): void {
    this.#broken ??= { reason };
    this.#wakeTaker();
  }

  /** The next value; undefined after the last one. One taker at a time. Throws what `break` was called with. */
  async take(): Promise<Value | undefined> {
    for (;;) {
      if (this.#broken !== null) throw this.#broken.reason;
      if (this.#values.length > 0) return this.#values.shift();
      if (this.#closed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #wakeTaker(): void {
    this.#wake?.();
    this.#wake = null;
  }
}
