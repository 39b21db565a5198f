// A connection to one IndexedDB database that is opened again when the platform loses it, and whose transactions
// end in time and with the codes of stores. It knows the object stores and nothing of what the bytes mean.
//
//   lost    the `close` event, InvalidStateError, or Safari's "Connection to Indexed Database server lost": the work
//           is done once more on a new connection, unless it began and may not be done twice
//   yielded the `versionchange` event: somebody deletes or upgrades the database; we let go and stay closed
//   hung    Chrome on a nearly full disk never answered (seen by others in 2023): our own timeout, then `store-io`

import { type DBSchema, type IDBPDatabase, type IDBPTransaction, openDB, type StoreNames } from 'idb';
import { type ErrorData, isVitrineError, VitrineError } from '../base/error.ts';

const VERSION = 1;

/** What the database holds. */
export interface Schema extends DBSchema {
  /** Bytes of each object: what lists are made of, and written in one transaction with the parts. */
  lengths: { key: string; value: number };
  /** The object's bytes, part by part. */
  parts: { key: [string, number]; value: ArrayBuffer };
  refs: { key: string; value: ArrayBuffer };
}

type Names = readonly StoreNames<Schema>[];
type Mode = 'readonly' | 'readwrite';

export type IdbTransaction<N extends Names, M extends Mode> = IDBPTransaction<Schema, [...N], M>;

export interface TransactionOptions<N extends Names, M extends Mode> {
  readonly stores: N;
  readonly mode: M;
  readonly durability?: 'strict' | 'relaxed';
  /** Whether the work may be done once more when the connection went away in the middle of it. */
  readonly repeatable: boolean;
  /** What a failure is told to be about. */
  readonly about: ErrorData;
}

/** Opens when first used, and again when lost. */
export class IdbConnection {
  readonly #name: string;
  readonly #timeoutMs: number;
  #database: Promise<IDBPDatabase<Schema>> | undefined;
  #yielded = false;

  constructor(name: string, timeoutMs: number) {
    this.#name = name;
    this.#timeoutMs = timeoutMs;
  }

  /** Opens the database now, so that what is wrong with it shows. */
  async open(): Promise<void> {
    await this.#connect();
  }

  /**
   * Does `work` in one transaction and resolves with its result when the transaction is complete.
   *
   * On failure nothing of it is kept. Throws `store-full`, `store-closed`, `store-io`, and what `work` throws.
   */
  async transact<N extends Names, M extends Mode, T>(
    options: TransactionOptions<N, M>,
    work: (transaction: IdbTransaction<N, M>) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      const opening = this.#connect();
      const database = await opening;
      const progress = { begun: false };
      try {
        return await this.#once(database, options, work, progress);
      } catch (error) {
        const lost = isLost(error);
        if (lost) {
          this.#forget(opening);
          database.close();
        }
        if (lost && attempt === 0 && !this.#yielded && (options.repeatable || !progress.begun)) continue;
        throw lost ? this.#closedError(error) : storeError(error, options.about);
      }
    }
  }

  /** Lets the database go. */
  async close(): Promise<void> {
    const database = this.#database;
    this.#database = undefined;
    // One that could not be opened has told so to its caller.
    (await database?.catch(() => undefined))?.close();
  }

  async #once<N extends Names, M extends Mode, T>(
    database: IDBPDatabase<Schema>,
    { stores, mode, durability = 'relaxed', about }: TransactionOptions<N, M>,
    work: (transaction: IdbTransaction<N, M>) => Promise<T>,
    progress: { begun: boolean },
  ): Promise<T> {
    const transaction = database.transaction([...stores], mode, { durability }) as IdbTransaction<N, M>;
    progress.begun = true;
    // A request's failure is the transaction's too; the one that is awaited first tells it.
    const ended = transaction.done;
    ended.catch(() => {});
    try {
      return await inTime(
        (async () => {
          const result = await work(transaction);
          await ended;
          return result;
        })(),
        this.#timeoutMs,
        about,
      );
    } catch (error) {
      abortQuietly(transaction);
      // AbortError says that something failed; the transaction says what.
      if (transaction.error !== null && nameOf(error) === 'AbortError') throw transaction.error;
      throw error;
    }
  }

  #connect(): Promise<IDBPDatabase<Schema>> {
    if (this.#yielded) return Promise.reject(this.#closedError());
    if (this.#database === undefined) {
      const opening = this.#openDatabase(() => this.#forget(opening));
      opening.catch(() => this.#forget(opening));
      this.#database = opening;
    }
    return this.#database;
  }

  async #openDatabase(onLost: () => void): Promise<IDBPDatabase<Schema>> {
    const about = { database: this.#name };
    try {
      const opening = openDB<Schema>(this.#name, VERSION, {
        upgrade(database) {
          database.createObjectStore('lengths');
          database.createObjectStore('parts');
          database.createObjectStore('refs');
        },
        blocking: (_current, _blocked, event) => {
          this.#yielded = true;
          (event.target as IDBDatabase).close();
        },
        terminated: onLost,
      });
      return await inTime(opening, this.#timeoutMs, about, (late) => late.close());
    } catch (error) {
      if (nameOf(error) === 'VersionError') {
        throw new VitrineError('format-version', { ...about, version: VERSION }, { cause: error });
      }
      throw storeError(error, about);
    }
  }

  /** The next call opens another connection, unless it did already. */
  #forget(opening: Promise<IDBPDatabase<Schema>>): void {
    if (this.#database === opening) this.#database = undefined;
  }

  #closedError(cause?: unknown): VitrineError {
    const reason = this.#yielded ? 'versionchange' : 'connection lost';
    return new VitrineError('store-closed', { database: this.#name, reason }, { cause });
  }
}

/** Settles as `work` does, or throws `store-io` after the time; `late` then gets what comes anyway. */
async function inTime<T>(
  work: Promise<T>,
  timeoutMs: number,
  about: ErrorData,
  late: (value: T) => void = () => {},
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      work.then(late, () => {});
      reject(new VitrineError('store-io', { ...about, reason: 'timeout', timeoutMs }));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

function storeError(error: unknown, about: ErrorData): VitrineError {
  if (isVitrineError(error)) return error;
  const name = nameOf(error);
  if (name === 'QuotaExceededError') return new VitrineError('store-full', about, { cause: error });
  return new VitrineError('store-io', { ...about, reason: name }, { cause: error });
}

function isLost(error: unknown): boolean {
  const name = nameOf(error);
  if (name === 'InvalidStateError') return true;
  // Messages are all that tells these apart: WebKit's bug 201483, and Chromium when site data is cleared.
  return (name === 'UnknownError' || name === 'AbortError') && /connection/i.test(String(error));
}

/** The name of a DOMException, or of any error. */
function nameOf(error: unknown): string {
  return error instanceof Error || error instanceof DOMException ? error.name : typeof error;
}

function abortQuietly(transaction: { abort(): void }): void {
  try {
    transaction.abort();
  } catch {
    // It has ended already.
  }
}
