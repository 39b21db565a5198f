// A cache of byte arrays bounded by their bytes; the least recently used go first.

import type { OwnedBytes } from '../base/bytes.ts';

export class ByteCache {
  readonly #maxBytes: number;
  readonly #entries = new Map<string, OwnedBytes>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(key: string): OwnedBytes | undefined {
    const bytes = this.#entries.get(key);
    if (bytes === undefined) return undefined;
    // A Map keeps the order of insertion: this makes it the last to go.
    this.#entries.delete(key);
    this.#entries.set(key, bytes);
    return bytes;
  }

  set(key: string, bytes: OwnedBytes): void {
    this.#bytes += bytes.length - (this.#entries.get(key)?.length ?? 0);
    this.#entries.delete(key);
    this.#entries.set(key, bytes);
    for (const [oldest, old] of this.#entries) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#entries.delete(oldest);
      this.#bytes -= old.length;
    }
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }
}
