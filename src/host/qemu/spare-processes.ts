// Processes that were started ahead of time and wait: whoever needs one of that shape has it at once. A pool of clones has some, of one shape;
// a bridge has a few, of the shapes that it needed last.
//
//   fill ─▶ starting ─▶ waiting ──take──▶ the caller's
//                          │ ended by others · longest there when others need its place · idle ─▶ ended, nothing left behind
//
// Each takes what QEMU takes without its machine's RAM, some 30 MiB.

import { readFileSync } from 'node:fs';
import { VitrineError } from '../../base/error.ts';
import type { Deadline } from './qmp.ts';
import type { WaitingProcess } from './waiting-process.ts';

export interface SpareOptions {
  /** Processes that may wait at a time, of whatever shapes; none is ever started for 0. */
  readonly most: number;
  /** After so long without being needed one ends. It waits for ever when left out. */
  readonly idle?: { readonly ms: number; readonly deadline: Deadline };
}

interface Spare {
  readonly shape: string;
  readonly started: Promise<WaitingProcess>;
  /** Once it waits. */
  waiting: WaitingProcess | undefined;
  stopClock: () => void;
}

export class SpareProcesses {
  readonly #options: SpareOptions;
  /** The longest there first. */
  #spares: readonly Spare[] = [];
  /** Ends that are under way. */
  readonly #ending = new Set<Promise<void>>();
  #isOpen = true;

  constructor(options: SpareOptions) {
    this.#options = options;
  }

  /**
   * Has `count` of a shape wait, or as many as may; others go for them. Resolves when they wait. Throws `guest-closed` after `close`, and
   * what `launch` throws: the others wait then.
   */
  async fill(shape: string, launch: () => Promise<WaitingProcess>, count = 1): Promise<void> {
    if (!this.#isOpen) throw new VitrineError('guest-closed');
    while (this.#of(shape).length < Math.min(count, this.#options.most)) this.#start(shape, launch);
    await Promise.all(this.#of(shape).map(({ started }) => started));
  }

  /** One that waits and can be connected to; it is the caller's to end. Undefined where there is none of that shape. */
  async take(shape: string): Promise<WaitingProcess | undefined> {
    for (;;) {
      const [spare] = this.#of(shape);
      if (spare === undefined) return undefined;
      this.#forget(spare);
      const waiting = await spare.started.catch(() => undefined);
      // It may have been killed a moment ago; a socket alone would still take what it never reads.
      const [socket, answer] = await Promise.allSettled([
        waiting?.connect(),
        waiting?.process.qmp.execute('query-status'),
      ]);
      const isThere = socket.status === 'fulfilled' && answer.status === 'fulfilled';
      if (isThere && waiting !== undefined) return waiting;
      await waiting?.end();
    }
  }

  /** Those that wait or are being started. */
  get count(): number {
    return this.#spares.length;
  }

  /** Of those, which are of a shape that begins so. */
  countOf(shape: string): number {
    return this.#spares.filter((one) => one.shape.startsWith(shape)).length;
  }

  /** Memory that they take, as the system counts it; what they share with other processes of that program included. */
  get usedBytes(): number {
    return this.#spares.reduce(
      (sum, { waiting }) => sum + (waiting ? residentBytes(waiting.process.pid) : 0),
      0,
    );
  }

  /** Ends all that wait; none is started any more. May be called again. */
  async close(): Promise<void> {
    this.#isOpen = false;
    for (const spare of this.#spares) this.#drop(spare);
    await Promise.all(this.#ending);
  }

  #of(shape: string): readonly Spare[] {
    return this.#spares.filter((one) => one.shape === shape);
  }

  #start(shape: string, launch: () => Promise<WaitingProcess>): void {
    if (this.#spares.length >= this.#options.most) {
      // Of this shape there are too few, so there is another.
      this.#drop(this.#spares.find((one) => one.shape !== shape)!);
    }
    const spare: Spare = { shape, started: launch(), waiting: undefined, stopClock: () => {} };
    this.#spares = [...this.#spares, spare];
    spare.started.then(
      (waiting) => this.#wait(spare, waiting),
      () => this.#forget(spare),
    );
  }

  #wait(spare: Spare, waiting: WaitingProcess): void {
    if (!this.#spares.includes(spare)) return;
    spare.waiting = waiting;
    void waiting.process.exited.then(() => this.#drop(spare));
    const { idle } = this.#options;
    if (idle !== undefined) spare.stopClock = idle.deadline(idle.ms, () => this.#drop(spare));
  }

  #forget(spare: Spare): void {
    spare.stopClock();
    this.#spares = this.#spares.filter((one) => one !== spare);
  }

  /** Ends one, unless it is somebody's by now. */
  #drop(spare: Spare): void {
    if (!this.#spares.includes(spare)) return;
    this.#forget(spare);
    const ended = spare.started
      .then((waiting) => waiting.end())
      .catch(() => {})
      .finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
  }
}

/** 0 for a process that is gone. */
function residentBytes(pid: number): number {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return Number(kib ?? 0) * 1024;
  } catch {
    return 0;
  }
}
