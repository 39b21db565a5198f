// What guests asked for by themselves, as clients hear of it: the last rings of each machine, and each new one. A guest is a stranger
// that may ring as often as it can write, so rings of one kind within a second are one event that counts them.
//
//   ring ─▶ first of its kind for a second? ──yes──▶ told at once
//                └──no──▶ counted ──the second is over──▶ told
//
// No ring is left out of the counts. Texts of a guest never come here: what it may choose is one of three words.

import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import type { ErrorCode } from '../base/error.ts';
import type { SnapshotId } from '../engine/snapshot.ts';

/** What guests can ask for. */
export const BELL_ASKS = ['save', 'checkpoint', 'reset'] as const;
export type BellAsk = (typeof BELL_ASKS)[number];
/** What a guest reads. */
export const BELL_ANSWERS = ['saved', 'restored', 'refused'] as const;
export type BellAnswer = (typeof BELL_ANSWERS)[number];

/** A ring, and what came of it. */
export interface BellRinging {
  readonly machine: string;
  /** Null for what asks for nothing known. */
  readonly asked: BellAsk | null;
  readonly answer: BellAnswer;
  /** Why it was refused; null where it was not. */
  readonly code: ErrorCode | null;
  /** What was saved, or what the machine was put back to; null for checkpoints, and where it was refused. */
  readonly snapshot: SnapshotId | null;
  /** From the ring to its answer, of the newest. */
  readonly tookMs: number;
}

/** Rings of one kind, by the newest of them. */
export interface BellEvent extends BellRinging {
  /** How many there were. */
  readonly count: number;
  /** When the newest was answered, milliseconds since 1970. */
  readonly atMs: number;
}

/** One event of a kind in so long. */
const EVENT_EVERY_MS = 1_000;
/** Events of each machine that are kept. */
const MAX_KEPT = 32;

export interface BellBookOptions {
  readonly clock?: Pick<Clock, 'wallMs'>;
  /** Does something later. The platform's timer when left out. */
  readonly after?: (ms: number, task: () => void) => void;
}

export class BellBook {
  readonly #clock: Pick<Clock, 'wallMs'>;
  readonly #after: (ms: number, task: () => void) => void;
  readonly #kept = new Map<string, BellEvent[]>();
  /** Kinds that were told of within the second, with what came since. */
  readonly #held = new Map<string, BellEvent | null>();
  readonly #listeners = new Set<(event: BellEvent) => void>();

  constructor({
    clock = SYSTEM_CLOCK,
    after = (ms, task) => void setTimeout(task, ms),
  }: BellBookOptions = {}) {
    this.#clock = clock;
    this.#after = after;
  }

  add(ringing: BellRinging): void {
    const event = { ...ringing, count: 1, atMs: this.#clock.wallMs() };
    const kind = bellKind(event);
    const held = this.#held.get(kind);
    if (held === undefined) this.#tell(kind, event);
    else this.#held.set(kind, held === null ? event : joinBells(held, event));
  }

  /** The last ones of a machine, oldest first. */
  recent(machine: string): readonly BellEvent[] {
    return this.#kept.get(machine) ?? [];
  }

  /** The last ones of all machines whose rings were told of, oldest first. */
  all(): BellEvent[] {
    return [...this.#kept.values()].flat().sort((a, b) => a.atMs - b.atMs);
  }

  /** Hears of events from now on. Returns how to stop. */
  listen(listener: (event: BellEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #tell(kind: string, event: BellEvent): void {
    this.#held.set(kind, null);
    this.#after(EVENT_EVERY_MS, () => {
      const waiting = this.#held.get(kind);
      this.#held.delete(kind);
      if (waiting != null) this.#tell(kind, waiting);
    });
    this.#keep(kind, event);
    for (const listener of [...this.#listeners]) listener(event);
  }

  /** A flood of one kind is one row, so that it does not push out what came before it. */
  #keep(kind: string, event: BellEvent): void {
    const kept = this.#kept.get(event.machine) ?? [];
    this.#kept.set(event.machine, kept);
    const newest = kept.at(-1);
    if (newest !== undefined && bellKind(newest) === kind) kept[kept.length - 1] = joinBells(newest, event);
    else kept.push(event);
    if (kept.length > MAX_KEPT) kept.shift();
  }
}

/** Rings of one kind are told of together. A snapshot that was saved is of a kind of its own. */
export function bellKind({ machine, asked, answer, code, snapshot }: BellRinging): string {
  return `${machine} ${asked} ${answer} ${code} ${snapshot}`;
}

/** Both as one: the newer, with the counts of both. */
export function joinBells(older: BellEvent, newer: BellEvent): BellEvent {
  return { ...newer, count: older.count + newer.count };
}
