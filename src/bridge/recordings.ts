// The recordings of a host's machines: each by its machine's name, begun on request, gone on with by the next host.

import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { VitrineError } from '../base/error.ts';
import { MIB } from '../base/limits.ts';
import type { Vitrine } from '../engine/vitrine.ts';
import type { Store } from '../store/store.ts';
import type { HostMachine } from './host.ts';
import type { ReadLayers } from './recorded-layers.ts';
import { Recording, type RecordingParts } from './recording.ts';
import { readRecordingBook, writeRecordingBook } from './recording-book.ts';

/** Milliseconds from one point to the next, least and most; and the least budget. */
export const MIN_EVERY_MS = 100;
export const MAX_EVERY_MS = 86_400_000;
export const MIN_BUDGET_BYTES = MIB;

export interface RecordingsOptions {
  readonly engine: Vitrine;
  readonly store: Store;
  readonly machine: (name: string) => HostMachine | undefined;
  /** As `BridgeHost.collectDisks`, where there is one. */
  readonly collectDisks?: (() => Promise<unknown>) | undefined;
  /** What a snapshot stands on beside the store, where that can be something. */
  readonly layersOf?: ReadLayers | undefined;
  readonly clock?: Clock;
  readonly wait?: RecordingParts['wait'];
}

export class Recordings {
  readonly #options: RecordingsOptions;
  readonly #recordings = new Map<string, Promise<Recording>>();

  constructor(options: RecordingsOptions) {
    this.#options = options;
  }

  /**
   * Begins one, or changes its pace and budget. Throws `argument-invalid`, `wrong-state` where the machine does not run, and what the
   * store throws.
   */
  async start(
    name: string,
    { everyMs, budgetBytes }: { readonly everyMs: number; readonly budgetBytes: number },
  ): Promise<Recording> {
    if (everyMs < MIN_EVERY_MS || everyMs > MAX_EVERY_MS) {
      throw new VitrineError('argument-invalid', { name: 'everyMs', value: everyMs });
    }
    if (budgetBytes < MIN_BUDGET_BYTES) {
      throw new VitrineError('argument-invalid', { name: 'budgetBytes', value: budgetBytes });
    }
    const machine = this.#options.machine(name);
    if (machine?.machine == null) {
      throw new VitrineError('wrong-state', {
        machine: name,
        actual: machine?.state ?? 'unknown',
        required: 'running',
      });
    }
    const recording = await this.of(name);
    await recording.start({ everyMs, budgetBytes });
    return recording;
  }

  /** That of a machine; one without points where it was never recorded. Throws `format-range`, and what the store throws. */
  of(name: string): Promise<Recording> {
    const known = this.#recordings.get(name);
    if (known !== undefined) return known;
    const opening = this.#open(name);
    this.#recordings.set(name, opening);
    // It is looked for again then.
    opening.catch(() => this.#recordings.delete(name));
    return opening;
  }

  /** Goes on with those that another host was at, of these machines. Never throws: one that cannot be read stays as it is. */
  async goOn(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const recording = await this.of(name).catch(() => undefined);
      if (recording?.book.isOn) await recording.start(recording.book).catch(() => {});
    }
  }

  /** Takes no more points; the next host goes on. */
  async close(): Promise<void> {
    for (const opening of this.#recordings.values()) {
      const recording = await opening.catch(() => undefined);
      await recording?.leave();
    }
  }

  async #open(name: string): Promise<Recording> {
    const {
      engine,
      store,
      machine,
      collectDisks,
      layersOf,
      clock = SYSTEM_CLOCK,
      wait = waitByTimer,
    } = this.#options;
    const book = await readRecordingBook(store, name);
    return Recording.open(book ?? { everyMs: 0, budgetBytes: 0, isOn: false, points: [] }, {
      engine,
      layersOf,
      machine: () => machine(name),
      keep: (next) => writeRecordingBook(store, name, next),
      collect: async () => {
        await engine.collect();
        await collectDisks?.();
      },
      clock,
      wait,
    });
  }
}

function waitByTimer(task: () => void, ms: number): () => void {
  const timer = setTimeout(task, ms);
  return () => clearTimeout(timer);
}
