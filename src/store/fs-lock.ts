// A lock between processes that share a directory, without a daemon and without the kernel's locks, which Node does
// not offer. It is a chain of symbolic links whose texts name their holders; a name is used once and never again.
//
//   ~lock ──▶ A        A made it and holds the lock, or died with it
//   ~next-A ──▶ B      A was gone, so B followed it
//   ~next-B ──▶ C      B was gone too: C holds the lock
//
// Acquire: make `~lock` when there is none; else walk to the end of the chain, and when its holder is gone make the
// next link. Links are made with their text in one step, and by one process only. Then look whether `~lock` still
// names the first of the chain walked: links are removed only after `~lock` was, so if it does, the chain was whole
// when the link was made, and nobody else can follow the same holder.
// Release: remove `~lock`, which frees the lock, then the rest of the chain, which is rubbish from then on.
//
// The usual lock file loses here: two processes that both find it stale remove it one after the other, and the
// second one removes the lock that the first has just taken.

import { VitrineError } from '../base/error.ts';
import { codeOfError, type FileSystem } from './fs-files.ts';

export const LOCK_NAME = '~lock';
export const NEXT_PREFIX = '~next-';

const FIRST_WAIT_MS = 1;
const LAST_WAIT_MS = 32;

/** Who runs on this machine. */
export interface Processes {
  /** A new name for this process: never given before or again, and fit for a file name. */
  nameSelf(): string;
  /** Whether the process that had this name has surely ended. */
  isGone(name: string): boolean;
}

/** A lock on one directory, used by one call at a time in this process. */
export class DirectoryLock {
  readonly #directory: string;
  readonly #files: FileSystem;
  readonly #processes: Processes;
  readonly #timeoutMs: number;
  readonly #wait: (ms: number) => Promise<void>;
  #last: Promise<unknown> = Promise.resolve();
  /** Our names in links that we could not remove: we are alive, but they hold nothing. */
  readonly #abandoned = new Set<string>();

  constructor(
    directory: string,
    files: FileSystem,
    processes: Processes,
    timeoutMs: number,
    wait: (ms: number) => Promise<void> = (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  ) {
    this.#directory = directory;
    this.#files = files;
    this.#processes = processes;
    this.#timeoutMs = timeoutMs;
    this.#wait = wait;
  }

  /** Does `work` while no other process holds the lock; throws `store-io` when that takes too long to come. */
  hold<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(async () => {
      const self = this.#processes.nameSelf();
      const chain = await this.#acquire(self);
      try {
        return await work();
      } finally {
        await this.#release(chain, self);
      }
    });
    this.#last = mine.catch(() => {});
    return mine;
  }

  /** Resolves with the paths of the chain whose last link is ours. */
  async #acquire(self: string): Promise<string[]> {
    let waitMs = FIRST_WAIT_MS;
    for (let waitedMs = 0; ; waitedMs += waitMs) {
      const found = await this.#tryAcquire(self);
      if ('chain' in found) return found.chain;
      if (waitedMs >= this.#timeoutMs) {
        const { holder } = found;
        throw new VitrineError('store-io', {
          reason: 'locked',
          holder,
          waitedMs,
          directory: this.#directory,
        });
      }
      waitMs = Math.min(2 * waitMs, LAST_WAIT_MS);
      await this.#wait(waitMs);
    }
  }

  async #tryAcquire(self: string): Promise<{ chain: string[] } | { holder: string }> {
    const lock = `${this.#directory}/${LOCK_NAME}`;
    const first = await this.#read(lock);
    const chain = [lock];
    let end = lock;
    let holder = first;
    while (holder !== undefined) {
      if (!this.#abandoned.has(holder) && !this.#processes.isGone(holder)) return { holder };
      end = `${this.#directory}/${NEXT_PREFIX}${fileNameOf(holder)}`;
      chain.push(end);
      holder = await this.#read(end);
    }
    try {
      await this.#files.symlink(self, end);
    } catch (error) {
      if (codeOfError(error) === 'EEXIST') return { holder: 'another, just now' };
      throw error;
    }
    try {
      if (first === undefined || (await this.#read(lock)) === first) return { chain };
      await this.#remove(end);
      return { holder: 'another, just now' };
    } catch (error) {
      this.#abandoned.add(self);
      throw error;
    }
  }

  /** Does not fail, since the work is done: what stays is abandoned, and goes when the process does at the latest. */
  async #release(chain: readonly string[], self: string): Promise<void> {
    try {
      for (const path of chain) await this.#remove(path);
    } catch {
      // The first link goes first or not at all, which is all that the others rely on.
      this.#abandoned.add(self);
    }
  }

  /** Removes a link; one of a chain that is over may be gone, taken for theirs by those who tidy up after it. */
  async #remove(path: string): Promise<void> {
    try {
      await this.#files.unlink(path);
    } catch (error) {
      if (codeOfError(error) !== 'ENOENT') throw error;
    }
  }

  async #read(path: string): Promise<string | undefined> {
    try {
      return await this.#files.readlink(path);
    } catch (error) {
      if (codeOfError(error) === 'ENOENT') return undefined;
      throw error;
    }
  }
}

/** A text from a link that somebody else may have written, as part of a file name in this directory. */
function fileNameOf(text: string): string {
  return text.replaceAll(/[^0-9a-z.]/g, '_').slice(0, 100);
}
