// Lines of a byte stream, with a bound: a peer that never ends its line cannot make us keep more than that.

/** Cuts chunks at line ends. A line longer than `maxBytes` is reported once, and nothing is read after it. */
export class LineReader {
  readonly #maxBytes: number;
  readonly #onLine: (line: string) => void;
  readonly #onTooLong: () => void;
  #parts: Uint8Array[] = [];
  #heldBytes = 0;
  #isBroken = false;

  constructor(maxBytes: number, onLine: (line: string) => void, onTooLong: () => void) {
    this.#maxBytes = maxBytes;
    this.#onLine = onLine;
    this.#onTooLong = onTooLong;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (!this.#isBroken) {
      const end = chunk.indexOf(0x0a, at);
      const part = chunk.subarray(at, end < 0 ? chunk.length : end);
      this.#heldBytes += part.length;
      if (this.#heldBytes > this.#maxBytes) {
        this.#isBroken = true;
        this.#parts = [];
        this.#onTooLong();
        return;
      }
      this.#parts.push(part);
      if (end < 0) return;
      // Decoded as a whole line: a character may have been cut between two chunks.
      const line = Buffer.concat(this.#parts).toString('utf8');
      this.#parts = [];
      this.#heldBytes = 0;
      at = end + 1;
      this.#onLine(line);
    }
  }
}
