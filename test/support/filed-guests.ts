// Guests with their RAM in a file, of one test file: all of a test's under one engine, over a store that can be exchanged, and put
// away after it.

import { afterEach, beforeEach } from 'vitest';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { openTestEngine } from './engine.ts';
import { adoptFiled, type FiledOptions } from './filed-guest.ts';
import { SwitchStore } from './switch-store.ts';

export class FiledGuests {
  readonly #pages: number;
  readonly #opened = new Set<Awaited<ReturnType<typeof adoptFiled>>>();

  store!: SwitchStore;
  engine!: Vitrine;

  /** To be made where tests are told of: they begin with an empty store. */
  constructor(pages: number) {
    this.#pages = pages;
    beforeEach(async () => {
      this.store = new SwitchStore(openMemoryStore());
      this.engine = await openTestEngine(this.store);
    });
    afterEach(() => this.close());
  }

  async open(options: FiledOptions = {}): ReturnType<typeof adoptFiled> {
    const filed = await adoptFiled(this.engine, 'filed', this.#pages, options);
    this.#opened.add(filed);
    return filed;
  }

  /** All memory that a snapshot has, which is `lengthBytes`. */
  async memoryOf(id: string, lengthBytes: number): Promise<Uint8Array> {
    const [bytes] = await this.engine.peek(id, [{ address: 0, lengthBytes }]);
    return bytes!;
  }

  /** Of those that were opened so far, nothing is left but what they saved. */
  async close(): Promise<void> {
    for (const filed of this.#opened) {
      this.#opened.delete(filed);
      await filed.machine.close();
      await filed.remove();
    }
  }
}
