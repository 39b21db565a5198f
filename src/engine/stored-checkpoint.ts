// The checkpoint of a machine whose tracker has no copy of memory to go back to: a snapshot in the store, seen there like any
// other, under the label `checkpoint of NAME`. It goes when the checkpoint does; one whose owner was killed stays until somebody deletes it.
//
// A snapshot that the guest is told from is not let go: what it names could be collected. It goes when the guest is told from
// another one.

import { isVitrineError, VitrineError } from '../base/error.ts';
import type { Store } from '../store/store.ts';
import type { Base } from './save.ts';
import { snapshotRef } from './snapshot.ts';

export class StoredCheckpoint {
  readonly #store: Store;
  #at: Base | null = null;
  /** Checkpoints that were, and are in the store still. */
  readonly #past = new Set<Base>();

  constructor(store: Store) {
    this.#store = store;
  }

  static labelOf(machine: string): string {
    return `checkpoint of ${machine}`;
  }

  /** Its snapshot. Throws `wrong-state` where there is none, `not-found` where somebody deleted it. */
  async require(): Promise<Base> {
    const at = this.#at;
    if (at === null) {
      throw new VitrineError('wrong-state', { actual: 'no checkpoint', required: 'a checkpoint' });
    }
    if ((await this.#store.get(snapshotRef(at.id))) !== undefined) return at;
    throw new VitrineError('not-found', { snapshot: at.id });
  }

  /** Another one, or none, is in its place. */
  move(to: Base | null): void {
    if (this.#at !== null) this.#past.add(this.#at);
    this.#at = to;
  }

  /** Lets go what nobody needs, where the guest is told from `base`. What a store refuses is tried again the next time. */
  async tidy(base: Base | null): Promise<void> {
    try {
      for (const past of [...this.#past]) {
        if (past === base) continue;
        const ref = await this.#store.get(snapshotRef(past.id));
        if (ref !== undefined) await this.#store.compareAndSwap(snapshotRef(past.id), ref, null);
        this.#past.delete(past);
      }
    } catch (error) {
      if (!isVitrineError(error)) throw error;
    }
  }
}
