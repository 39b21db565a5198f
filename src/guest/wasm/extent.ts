// The size of something that can grow and never shrink: a memory, a table. Restored to a smaller size it counts as that
// size until the program runs, so that a guest holds what it was given. From then on the larger one counts: the
// program sees it and may use it without growing anything.

export class Extent {
  #restored: { readonly size: number; readonly actual: number } | undefined;

  /** The size that counts, while the platform's is `actual`. */
  size(actual: number): number {
    return this.#restored?.actual === actual ? this.#restored.size : actual;
  }

  /** A restore set the size to `size`, while the platform's is `actual`. */
  restored(size: number, actual: number): void {
    this.#restored = { size, actual };
  }

  /** The program runs. */
  forget(): void {
    this.#restored = undefined;
  }
}
