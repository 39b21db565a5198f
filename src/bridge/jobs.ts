// Jobs: long work of a host that a lost connection does not end. A job has an id, which the client may have chosen: asking
// for it again then finds the work under way instead of doing it twice.
//
//   queued ──▶ running ──▶ done | failed
//      └──────────┴──────▶ cancelled
//
// Ended jobs are kept so that whoever comes back finds out, and the oldest are forgotten.

import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import type { Progress, WorkOptions } from '../base/work.ts';
import { BRIDGE_LIMITS } from './bridge-limits.ts';

export const JOB_STATES = ['queued', 'running', 'done', 'failed', 'cancelled'] as const;
export type JobState = (typeof JOB_STATES)[number];

/** 32 hexadecimal digits. */
export type JobId = string;

export interface JobRequest {
  /** Made here when left out. */
  readonly id?: JobId | undefined;
  readonly verb: string;
  readonly machine: string | null;
  /** Whose it is: ids of one subject mean nothing to another. */
  readonly subject: string;
}

export interface JobsOptions {
  readonly maxRunning?: number;
  readonly maxQueued?: number;
  readonly maxEnded?: number;
  readonly clock?: Clock;
}

export class Job {
  readonly id: JobId;
  readonly verb: string;
  readonly machine: string | null;
  readonly subject: string;
  readonly startedAtMs: number;
  #state: JobState = 'queued';
  #progress: Progress | null = null;
  readonly #abort = new AbortController();
  readonly #watchers = new Set<(progress: Progress) => void>();
  readonly #ended: Promise<unknown>;
  #resolve: (result: unknown) => void = () => {};
  #reject: (reason: unknown) => void = () => {};

  constructor(request: JobRequest, id: JobId, startedAtMs: number) {
    this.id = id;
    this.verb = request.verb;
    this.machine = request.machine;
    this.subject = request.subject;
    this.startedAtMs = startedAtMs;
    this.#ended = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever asks for the result is told of a failure; a job that nobody watches fails in silence.
    this.#ended.catch(() => {});
  }

  get state(): JobState {
    return this.#state;
  }

  get progress(): Progress | null {
    return this.#progress;
  }

  get hasEnded(): boolean {
    return this.#state !== 'queued' && this.#state !== 'running';
  }

  /** What the work resolved to; throws what it threw, `aborted` when it was cancelled. */
  get result(): Promise<unknown> {
    return this.#ended;
  }

  /** Gives it up. What has ended stays as it is. */
  cancel(): void {
    this.#abort.abort();
    if (this.#state === 'queued') this.#end('cancelled', new VitrineError('aborted', { job: this.id }));
  }

  /** Hears of its progress from now on. Returns how to stop. */
  watch(listener: (progress: Progress) => void): () => void {
    this.#watchers.add(listener);
    return () => void this.#watchers.delete(listener);
  }

  /** Does the work; never throws. Of the table alone. */
  async perform(work: (options: WorkOptions) => Promise<unknown>): Promise<void> {
    if (this.hasEnded) return;
    this.#state = 'running';
    const onProgress = (progress: Progress): void => {
      this.#progress = progress;
      for (const watcher of this.#watchers) watcher(progress);
    };
    try {
      const result = await work({ signal: this.#abort.signal, onProgress });
      this.#state = 'done';
      this.#resolve(result);
    } catch (error) {
      this.#end(isVitrineError(error, 'aborted') ? 'cancelled' : 'failed', error);
    }
    this.#watchers.clear();
  }

  #end(state: JobState, reason: unknown): void {
    this.#state = state;
    this.#reject(reason);
  }
}

interface Waiting {
  readonly job: Job;
  readonly work: (options: WorkOptions) => Promise<unknown>;
}

export class Jobs {
  /** Another one in each process: jobs of an earlier one are not known here. */
  readonly instance: string = crypto.randomUUID().replaceAll('-', '');
  readonly #options: Required<JobsOptions>;
  /** In the order they came. */
  readonly #jobs = new Map<string, Job>();
  readonly #queue: Waiting[] = [];
  readonly #running = new Set<Promise<void>>();
  #closed = false;

  constructor(options: JobsOptions = {}) {
    this.#options = {
      maxRunning: BRIDGE_LIMITS.maxRunningJobs,
      maxQueued: BRIDGE_LIMITS.maxQueuedJobs,
      maxEnded: BRIDGE_LIMITS.maxEndedJobs,
      clock: SYSTEM_CLOCK,
      ...options,
    };
  }

  /**
   * Starts work, or finds the job of that id, whatever its state.
   *
   * Throws `overloaded` when as many wait as may, `argument-invalid` when the id is that of other work, `wrong-state`
   * after `close`.
   */
  start(request: JobRequest, work: (options: WorkOptions) => Promise<unknown>): Job {
    const id = request.id ?? crypto.randomUUID().replaceAll('-', '');
    const known = this.find(request.subject, id);
    if (known !== undefined) {
      if (known.verb === request.verb && known.machine === request.machine) return known;
      throw new VitrineError('argument-invalid', { name: 'job', value: id, verb: known.verb });
    }
    if (this.#closed) throw new VitrineError('wrong-state', { actual: 'closed', required: 'open' });
    const { maxRunning, maxQueued, clock } = this.#options;
    const queued = this.#queue.filter((waiting) => !waiting.job.hasEnded).length;
    if (this.#running.size >= maxRunning && queued >= maxQueued) {
      throw new VitrineError('overloaded', { jobs: this.#running.size + queued, retryAfterMs: 1000 });
    }
    const job = new Job(request, id, clock.wallMs());
    this.#jobs.set(keyOf(request.subject, id), job);
    this.#queue.push({ job, work });
    this.#next();
    this.#forgetOldest();
    return job;
  }

  /** A subject's job. */
  find(subject: string, id: JobId): Job | undefined {
    return this.#jobs.get(keyOf(subject, id));
  }

  /** All that are known, oldest first. */
  list(): Job[] {
    return [...this.#jobs.values()];
  }

  /** Takes no more, gives up what is under way, and resolves when nothing is. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const job of this.#jobs.values()) job.cancel();
    await this.settle();
  }

  /** Resolves when nothing is under way or waits. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #next(): void {
    while (this.#running.size < this.#options.maxRunning) {
      const waiting = this.#queue.shift();
      if (waiting === undefined) return;
      const run = waiting.job.perform(waiting.work).then(() => {
        this.#running.delete(run);
        this.#next();
      });
      this.#running.add(run);
    }
  }

  #forgetOldest(): void {
    let ended = 0;
    for (const job of this.#jobs.values()) if (job.hasEnded) ended++;
    for (const [key, job] of this.#jobs) {
      if (ended <= this.#options.maxEnded) return;
      if (!job.hasEnded) continue;
      this.#jobs.delete(key);
      ended--;
    }
  }
}

function keyOf(subject: string, id: JobId): string {
  return `${subject}\0${id}`;
}
