// A doorbell: the guest itself asks to be saved or put back, and reads how it came back, as a program reads what `fork`
// returned. Each adapter puts it where its guests can reach it: an I/O port, a function, a word of memory.
//
//   guest writes a word ──▶ desk: allowed? ──no──▶ the guest reads `refused` and runs on
//                              │ yes
//                              ▼
//   guest rests ──▶ server: checkpoint, save, reset ──▶ the guest reads `first`, or `restored` after it was put back
//
//   | Written | ASCII | Asks to be         |   | Read | ASCII | Says                                            |
//   |---------|-------|--------------------|   |------|-------|-------------------------------------------------|
//   | 0x73    | `s`   | saved              |   | 0x73 | `s`   | first return: it was saved, and goes on          |
//   | 0x72    | `r`   | put back           |   | 0x72 | `r`   | restored: this is the saved instant, once more   |
//                                              | 0x6e | `n`   | refused; the guest goes on as it was             |
//                                              | 0xff |       | nobody serves, or it never asked                 |
//
// The answer is not state of the guest: a snapshot that was taken at the bell says `restored` wherever it is loaded.
// Guests are hostile: a desk answers at most so many rings a second, one at a time, and refuses all others at once.

import type { Clock } from '../base/clock.ts';
import { VitrineError } from '../base/error.ts';
import type { Guest } from './guest.ts';

/** What is written and read, in the low byte of a word of any width. */
export const DOORBELL_WORDS = {
  save: 0x73,
  reset: 0x72,
  first: 0x73,
  restored: 0x72,
  refused: 0x6e,
  nobody: 0xff,
} as const;

/** What a guest asks for. */
export type DoorbellRequest = 'save' | 'reset';

/** What it reads then. */
export type DoorbellAnswer = 'first' | 'restored' | 'refused';

/**
 * Does what the guest asked for, now or later. The guest rests meanwhile and can be paused, read and loaded as ever.
 * One that throws refuses.
 */
export type DoorbellServer = (request: DoorbellRequest) => DoorbellAnswer | Promise<DoorbellAnswer>;

/** What became of the rings since the guest was made. */
export interface DoorbellCounts {
  readonly rings: number;
  readonly saves: number;
  readonly resets: number;
  readonly refused: number;
}

/** A guest's doorbell, as its host sees it. Nobody serves at first: every ring is then ignored. */
export interface Doorbell {
  /** Where the guest finds it, for people: `I/O port 0x5674`. */
  readonly place: string;
  /**
   * Which instant a ring means: that right behind the instruction that rang, or, where the guest's stack cannot be captured,
   * that of its next return to the host. Where the guest itself runs on, one at which its program waits for the answer.
   */
  readonly instant: 'the instruction' | 'the next return' | 'the wait';
  /** Of a guest in another worker those of the last `refresh`. */
  readonly counts: DoorbellCounts;
  /** Brings the counts here, where they are kept in another worker. */
  refresh?(): Promise<void>;
  /**
   * Serves from now on, in place of whoever did; of a guest in another worker when it resolves. Throws `argument-invalid`
   * unless `maxPerSecond` is above 0.
   */
  serve(server: DoorbellServer, options: { readonly maxPerSecond: number }): void | Promise<void>;
  /** Nobody serves from now on. A ring being served ends as it does. */
  stop(): void | Promise<void>;
}

/** The part of a doorbell that all adapters share: who may ring, and what the guest reads. */
export class DoorbellDesk implements Doorbell {
  readonly place: string;
  readonly instant: Doorbell['instant'];
  readonly #clock: Clock;
  readonly #counts = { rings: 0, saves: 0, resets: 0, refused: 0 };
  #server: DoorbellServer | undefined;
  #maxPerSecond = 0;
  /** Rings that are still allowed, refilled as time goes on. */
  #allowance = 0;
  #refilledAtMs = 0;
  #ring: DoorbellRequest | undefined;
  #word: number = DOORBELL_WORDS.nobody;

  constructor(place: string, instant: Doorbell['instant'], clock: Clock) {
    this.place = place;
    this.instant = instant;
    this.#clock = clock;
  }

  get counts(): DoorbellCounts {
    return { ...this.#counts };
  }

  serve(server: DoorbellServer, { maxPerSecond }: { readonly maxPerSecond: number }): void {
    if (!(maxPerSecond > 0)) throw new VitrineError('argument-invalid', { name: 'maxPerSecond' });
    this.#server = server;
    this.#maxPerSecond = maxPerSecond;
    this.#allowance = Math.max(1, maxPerSecond);
    this.#refilledAtMs = this.#clock.nowMs();
  }

  stop(): void {
    this.#server = undefined;
  }

  /** What the guest reads now. */
  get word(): number {
    return this.#word;
  }

  /** A ring waits for `attend`. */
  get isRung(): boolean {
    return this.#ring !== undefined;
  }

  /**
   * The guest wrote `word`. True when the adapter is to bring it to rest right here and to call `attend`; false when it has
   * its answer already and runs on.
   */
  ring(word: number): boolean {
    if (this.#server === undefined) {
      this.#word = DOORBELL_WORDS.nobody;
      return false;
    }
    this.#counts.rings++;
    const request = requestOf(word);
    if (request === undefined || this.#ring !== undefined || !this.#takeAllowance()) {
      this.#answer('refused');
      return false;
    }
    this.#ring = request;
    return true;
  }

  /** The guest rests: has the ring served. Resolves, or returns, when the guest may run on; never throws. */
  attend(): undefined | Promise<void> {
    const request = this.#ring;
    if (request === undefined) return undefined;
    if (this.#server === undefined) return this.#settle('refused');
    try {
      const answer = this.#server(request);
      if (typeof answer === 'string') return this.#settle(answer);
      return answer.then(
        (later) => this.#settle(later),
        () => this.#settle('refused'),
      );
    } catch {
      return this.#settle('refused');
    }
  }

  /** The guest cannot rest for the ring in hand. */
  refuse(): void {
    if (this.#ring !== undefined) this.#settle('refused');
  }

  /** State was loaded into the guest: whoever asked in it was restored. */
  restored(): void {
    this.#word = DOORBELL_WORDS.restored;
  }

  #settle(answer: DoorbellAnswer): undefined {
    this.#ring = undefined;
    this.#answer(answer);
  }

  #answer(answer: DoorbellAnswer): void {
    this.#word = DOORBELL_WORDS[answer];
    if (answer === 'first') this.#counts.saves++;
    else if (answer === 'restored') this.#counts.resets++;
    else this.#counts.refused++;
  }

  /** One ring of the budget: as many a second as are allowed, a second's worth at once. */
  #takeAllowance(): boolean {
    const nowMs = this.#clock.nowMs();
    const earned = ((nowMs - this.#refilledAtMs) * this.#maxPerSecond) / 1000;
    this.#allowance = Math.min(Math.max(1, this.#maxPerSecond), this.#allowance + earned);
    this.#refilledAtMs = nowMs;
    if (this.#allowance < 1) return false;
    this.#allowance--;
    return true;
  }
}

/**
 * Has a ring served while `guest` rests, and lets it go on. For adapters, to be called where no code of the guest runs; at
 * once where the guest can rest at once and the server answers at once.
 */
export function answerAtRest(guest: Guest, desk: DoorbellDesk): void {
  if (!desk.isRung) return;
  const { pauseNow, resumeNow } = guest;
  if (pauseNow !== undefined && resumeNow !== undefined) {
    try {
      pauseNow.call(guest);
    } catch {
      // It cannot rest at once, as with a disk under way; then it does so as soon as it can.
      void answerLater(guest, desk);
      return;
    }
    const answering = desk.attend();
    if (answering === undefined) resumeNow.call(guest);
    else void answering.then(() => guest.resume()).catch(() => {});
    return;
  }
  void answerLater(guest, desk);
}

/** A guest that was closed or failed meanwhile needs no answer; one that cannot rest is refused. */
async function answerLater(guest: Guest, desk: DoorbellDesk): Promise<void> {
  try {
    await guest.pause();
    await desk.attend();
    await guest.resume();
  } catch {
    desk.refuse();
  }
}

function requestOf(word: number): DoorbellRequest | undefined {
  const byte = word & 0xff;
  if (byte === DOORBELL_WORDS.save) return 'save';
  return byte === DOORBELL_WORDS.reset ? 'reset' : undefined;
}
