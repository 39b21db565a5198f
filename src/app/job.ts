// One long piece of work that the page started: how far it is, and how to give it up.

import type { Progress, WorkOptions } from '../base/work.ts';
import { Signal } from './signal.ts';

export class Job {
  /** What is being done: `Saving`. */
  readonly title: string;
  readonly progress = new Signal<Progress | null>(null);
  readonly #abort = new AbortController();

  constructor(title: string) {
    this.title = title;
  }

  cancel(): void {
    this.#abort.abort();
  }

  /** What to hand to the call. */
  get options(): Required<WorkOptions> {
    return { signal: this.#abort.signal, onProgress: (progress) => this.progress.set(progress) };
  }
}
