// Who reads along what a machine prints, whichever process it is in.

import { concatBytes, type OwnedBytes } from '../../base/bytes.ts';
import { KEPT_OUTPUT_BYTES } from '../qemu/serial-line.ts';

export type OnOutput = (bytes: OwnedBytes) => void;

export class ConsoleOutput {
  readonly #listeners = new Set<OnOutput>();
  /** What was printed last in processes before the one that runs. */
  #before: OwnedBytes = new Uint8Array(0);

  /** The machine goes on in another process, after having printed this: a snapshot holds no screen, and who comes later would see none. */
  goOnAfter(recent: Uint8Array): void {
    this.#before = concatBytes([this.#before, Uint8Array.from(recent)]).slice(-KEPT_OUTPUT_BYTES);
  }

  /** The machine begins anew. */
  forget(): void {
    this.#before = new Uint8Array(0);
  }

  /** Begins with what was printed last, where there is any; the result ends it. */
  listen(onBytes: OnOutput, recent: Uint8Array = new Uint8Array(0)): () => void {
    for (const bytes of [this.#before, recent]) if (bytes.length > 0) onBytes(Uint8Array.from(bytes));
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
