// A store that stands before another one which can be changed: an engine holds the switch for its whole life, and a
// test puts a faulty store behind it for a while.

import type { Store } from '../../src/store/store.ts';

export class SwitchStore implements Store {
  /** Where calls go now. */
  target: Store;

  constructor(target: Store) {
    this.target = target;
  }

  get traits() {
    return this.target.traits;
  }

  put: Store['put'] = (key, bytes) => this.target.put(key, bytes);
  get: Store['get'] = (key, range) => this.target.get(key, range);
  list: Store['list'] = (prefix) => this.target.list(prefix);
  delete: Store['delete'] = (keys) => this.target.delete(keys);
  compareAndSwap: Store['compareAndSwap'] = (ref, expected, next) =>
    this.target.compareAndSwap(ref, expected, next);
  close: Store['close'] = () => this.target.close();
}

/** Deletes one key a call, as a directory does, so that a deletion can be cut off half-way. */
export function deletingOneByOne(store: Store): Store {
  return {
    traits: store.traits,
    put: (key, bytes) => store.put(key, bytes),
    get: (key, range) => store.get(key, range),
    list: (prefix) => store.list(prefix),
    async delete(keys) {
      for (const key of keys) await store.delete([key]);
    },
    compareAndSwap: (ref, expected, next) => store.compareAndSwap(ref, expected, next),
    close: () => store.close(),
  };
}
