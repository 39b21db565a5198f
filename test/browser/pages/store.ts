// The IndexedDB store in a page, with what test/browser/store.test.ts asks of it: the contract, and a writer whose
// every object tells by itself whether it is whole.

import { isVitrineError } from '../../../src/base/error.ts';
import { deleteIdbStore, openIdbStore } from '../../../src/store/idb-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { storeContract } from '../../../src/testing/store-contract.ts';
import { type PageResult, runInPage } from './page-runner.ts';

const REF = 'refs/snapshots/head';

/** What one look at the writer's database says. */
export interface WriterState {
  /** The number that the ref holds, 0 when there is none. */
  readonly head: number;
  readonly objectCount: number;
  /** Objects that are not whole, or that a ref names and that are not there. */
  readonly damaged: readonly string[];
}

/** What the page offers to the test. */
export interface StorePage {
  contract(seed: number): Promise<PageResult[]>;
  /** Puts an object of so many bytes and moves the ref to it, `steps` times. Returns `done`, or the code of an error. */
  write(database: string, steps: number, objectBytes: number): Promise<string>;
  look(database: string): Promise<WriterState>;
  /** Keeps a store open over other calls. */
  hold(database: string): Promise<void>;
  /** Reads through the store kept open; how it ended. */
  readHeld(): Promise<string>;
  remove(database: string): Promise<void>;
  /** The last number that this page's `write` reported. */
  reported: number;
}

let held: Store | undefined;

const page: StorePage = {
  reported: 0,

  contract(seed) {
    let count = 0;
    const openSubject = async () => {
      const name = `contract-${seed}-${count++}`;
      const opened: Store[] = [];
      const open = async () => {
        const store = await openIdbStore(name);
        opened.push(store);
        return store;
      };
      const destroy = async () => {
        for (const store of opened) await store.close();
        await deleteIdbStore(name);
      };
      return { store: await open(), reopen: open, destroy };
    };
    return runInPage((api) => storeContract('idb', openSubject, api, { seed }));
  },

  async write(database, steps, objectBytes) {
    const store = await openIdbStore(database);
    try {
      let { head } = await page.look(database);
      for (let i = 0; i < steps; i++) {
        const expected = head === 0 ? null : refOf(head);
        await store.put(`packs/${head + 1}`, objectOf(head + 1, objectBytes));
        await store.compareAndSwap(REF, expected, refOf(head + 1));
        page.reported = ++head;
      }
      return 'done';
    } catch (error) {
      return isVitrineError(error) ? error.code : String(error);
    } finally {
      await store.close();
    }
  },

  async look(database) {
    const store = await openIdbStore(database);
    const keys = await store.list('packs/');
    const damaged: string[] = [];
    for (const key of keys) {
      const bytes = await store.get(key);
      if (bytes === undefined || !isWhole(bytes, Number(key.slice('packs/'.length)))) damaged.push(key);
    }
    const ref = await store.get(REF);
    const head = ref === undefined ? 0 : Number(new TextDecoder().decode(ref));
    for (let number = 1; number <= head; number++) {
      if (!keys.includes(`packs/${number}`)) damaged.push(`packs/${number} is missing`);
    }
    await store.close();
    return { head, objectCount: keys.length, damaged };
  },

  async hold(database) {
    held = await openIdbStore(database);
  },

  async readHeld() {
    try {
      await held?.list('');
      return 'done';
    } catch (error) {
      return isVitrineError(error) ? error.code : String(error);
    }
  },

  remove: (database) => deleteIdbStore(database),
};

Object.assign(window, { storePage: page });

function refOf(number: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new TextEncoder().encode(String(number)));
}

/** Its length in the first four bytes, then words that do not compress and follow from the number. */
function objectOf(number: number, lengthBytes: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(lengthBytes / 4);
  words[0] = lengthBytes;
  for (let i = 1; i < words.length; i++) words[i] = wordOf(number, i);
  return new Uint8Array(words.buffer);
}

function isWhole(bytes: Uint8Array<ArrayBuffer>, number: number): boolean {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  return words[0] === bytes.length && words.every((word, i) => i === 0 || word === wordOf(number, i));
}

function wordOf(number: number, index: number): number {
  const mixed = Math.imul(index + 1, 0x9e37_79b1) ^ Math.imul(number, 0x85eb_ca6b);
  return Math.imul(mixed ^ (mixed >>> 15), 0x2c1b_3c6d) >>> 0;
}
