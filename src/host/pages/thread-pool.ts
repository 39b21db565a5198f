// Threads for work on pages, shared by all machines of a process. They are started by the first task, as many as there are
// cores, and hold no process back that has nothing else to do.
//
// A thread that ends in the middle of its work fails that work with `worker-lost`; the next task starts another.

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type ErrorCode, type ErrorData, isErrorCode, VitrineError } from '../../base/error.ts';
import type { CompareTask } from './compare-chunks.ts';
import { PAGE_THREAD } from './generated/page-thread.ts';
import type { PageAnswer, PageRequest, PageResult, PageTask } from './page-thread.ts';
import type { ScanTask } from './scan-chunks.ts';

/** A thread takes some 15 MiB; memory is what holds more of them up. */
const MOST_THREADS = 8;

/** How long threads that hold on to what nobody needs are kept for the next task, which they do sooner than new ones. */
const IDLE_MS = 30_000;

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
}

export class ThreadPool {
  readonly size: number;
  readonly #threads: (Thread | undefined)[];
  #lastId = 0;
  #isClosed = false;
  #ending: NodeJS.Timeout | undefined;

  constructor(size = Math.min(availableParallelism(), MOST_THREADS)) {
    this.size = size;
    this.#threads = new Array(size).fill(undefined);
  }

  /**
   * Lets the thread with the least to do do the task; `transfer` goes there and is gone here. Throws what the task throws, and
   * `worker-lost`.
   */
  run<Task extends PageTask>(task: Task, transfer: readonly ArrayBuffer[] = []): Promise<PageResult<Task>> {
    const loads = this.#threads.map((thread) => thread?.pending.size ?? 0);
    const index = loads.indexOf(Math.min(...loads));
    // Safe: a thread answers a task with its result.
    return this.#run(index, task, transfer) as Promise<PageResult<Task>>;
  }

  /** Lets every thread do the task; resolves when all have. On failure all have ended, too, and the first error is thrown. */
  async runOnAll(task: ScanTask | CompareTask): Promise<void> {
    const runs = this.#threads.map((_, index) => this.#run(index, task));
    const results = await Promise.allSettled(runs);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /**
   * Somebody gave up large memory that threads were sent. A thread at rest holds on to such memory until it next runs out of its
   * own, so those that have nothing to do a while later are ended; the next task starts them again.
   */
  endIdleLater(): void {
    clearTimeout(this.#ending);
    this.#ending = setTimeout(() => this.endIdle(), IDLE_MS).unref();
  }

  /** Ends threads that have nothing to do now. */
  endIdle(): void {
    for (const [index, thread] of this.#threads.entries()) {
      if (thread === undefined || thread.pending.size > 0) continue;
      this.#threads[index] = undefined;
      thread.worker.terminate().catch(() => {});
    }
  }

  /** Ends the threads; work under way fails with `worker-lost`. May be called again. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#ending);
    await Promise.all(this.#threads.map((thread) => thread?.worker.terminate()));
  }

  #run(index: number, task: PageTask, transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
    if (this.#isClosed) return Promise.reject(new VitrineError('worker-lost', { reason: 'closed' }));
    const thread = this.#threads[index] ?? this.#start(index);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      thread.pending.set(id, { resolve, reject });
      thread.worker.ref();
      const request: PageRequest = { id, task };
      thread.worker.postMessage(request, transfer);
    });
  }

  #start(index: number): Thread {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(PAGE_THREAD)}`));
    const thread: Thread = { worker, pending: new Map() };
    this.#threads[index] = thread;
    const lose = (cause: unknown): void => {
      if (this.#threads[index] === thread) this.#threads[index] = undefined;
      const pending = [...thread.pending.values()];
      thread.pending.clear();
      for (const { reject } of pending) reject(new VitrineError('worker-lost', {}, { cause }));
    };
    worker.on('error', lose);
    worker.on('exit', (code) => lose(new Error(`the thread ended with ${code}`)));
    worker.on('message', (answer: PageAnswer) => {
      const pending = thread.pending.get(answer.id);
      thread.pending.delete(answer.id);
      if (thread.pending.size === 0) worker.unref();
      if (answer.error === undefined) pending?.resolve(answer.result);
      else pending?.reject(errorOf(answer.error));
    });
    worker.unref();
    return thread;
  }
}

function errorOf({ code, data, message }: NonNullable<PageAnswer['error']>): Error {
  if (code === undefined || !isErrorCode(code)) return new Error(message);
  return new VitrineError(code satisfies ErrorCode, data as ErrorData);
}

let shared: ThreadPool | undefined;

/** The threads of this process. */
export function pageThreads(): ThreadPool {
  shared ??= new ThreadPool();
  return shared;
}
