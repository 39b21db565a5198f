// Who reads along what a machine prints, whichever process it is in.

import type { OwnedBytes } from '../../base/bytes.ts';

export type OnOutput = (bytes: OwnedBytes) => void;

export class ConsoleOutput {
  readonly #listeners = new Set<OnOutput>();

  /** Begins with what was printed last, where there is any; the result ends it. */
  listen(onBytes: OnOutput, recent: Uint8Array = new Uint8Array(0)): () => void {
    if (recent.length > 0) onBytes(Uint8Array.from(recent));
    this.#listeners.add(onBytes);
    return () => void this.#listeners.delete(onBytes);
  }

  tell(bytes: Uint8Array): void {
    const own = Uint8Array.from(bytes);
    for (const listener of [...this.#listeners]) listener(own);
  }

  /** Nobody reads along any more. */
  close(): void {
    this.#listeners.clear();
  }
}
