// A guest's doorbell, served beside the guest: by its tracker's checkpoint, at full speed, or by whoever asks for the next
// ring and answers it, such as an engine in another worker.
//
//   'checkpoint'   `save` sets the checkpoint, `reset` goes back to it
//   'ask'          `nextRing` gives the request, and the guest rests until `answerRing`
//
// A tracker that cannot serve just now — an engine works with it, there is no checkpoint — refuses; the guest may ring again.

import { type ErrorCode, isVitrineError, VitrineError } from '../base/error.ts';
import type { DoorbellAnswer, DoorbellRequest } from '../guest/doorbell.ts';
import type { Guest } from '../guest/guest.ts';
import type { DoorbellOptions, DoorbellReport, TrackerDoorbell } from './tracker-doorbell.ts';

/** What a tracker can do for a ring. The guest rests already. */
export interface DoorbellVerbs {
  checkpoint(): Promise<unknown>;
  resetNow(): unknown;
  resetToCheckpoint(): Promise<unknown>;
}

export class DoorbellService implements TrackerDoorbell {
  readonly #guest: Guest;
  readonly #verbs: DoorbellVerbs;
  #lastFailure: ErrorCode | null = null;
  #isAsking = false;
  /** The ring in hand, until it is answered. */
  #inHand:
    | { readonly request: DoorbellRequest; readonly settle: (answer: DoorbellAnswer) => void }
    | undefined;
  #isTold = false;
  /** Whoever waits in `nextRing`. */
  #waiting: ((request: DoorbellRequest | null) => void) | undefined;

  constructor(guest: Guest, verbs: DoorbellVerbs) {
    this.#guest = guest;
    this.#verbs = verbs;
  }

  async serve({ serve, maxPerSecond }: DoorbellOptions): Promise<void> {
    const { doorbell, machine } = this.#guest;
    if (doorbell === undefined) {
      throw new VitrineError('unsupported', { missing: 'doorbell', guest: machine.kind });
    }
    await this.#end();
    // Before it is served, for it may ring at once.
    this.#isAsking = serve === 'ask';
    try {
      await doorbell.serve((request) => (serve === 'ask' ? this.#ask(request) : this.#serve(request)), {
        maxPerSecond,
      });
    } catch (error) {
      this.#isAsking = false;
      throw error;
    }
  }

  stop(): Promise<void> {
    return this.#end();
  }

  async report(): Promise<DoorbellReport> {
    await this.#guest.doorbell?.refresh?.();
    const counts = this.#guest.doorbell?.counts ?? { rings: 0, saves: 0, resets: 0, refused: 0 };
    return { ...counts, lastFailure: this.#lastFailure };
  }

  async nextRing(): Promise<DoorbellRequest | null> {
    if (this.#waiting !== undefined) {
      throw new VitrineError('busy', { underWay: 'nextRing' });
    }
    if (!this.#isAsking) return null;
    if (this.#inHand !== undefined && !this.#isTold) {
      this.#isTold = true;
      return this.#inHand.request;
    }
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  async answerRing(answer: DoorbellAnswer): Promise<void> {
    const inHand = this.#inHand;
    this.#inHand = undefined;
    inHand?.settle(answer);
  }

  /** The engine that asked is gone: what it served is ended. A serving by checkpoint goes on. */
  leave(): void {
    if (this.#isAsking) void this.#end();
  }

  async #end(): Promise<void> {
    const stopped = this.#guest.doorbell?.stop();
    this.#isAsking = false;
    this.#tell(null);
    void this.answerRing('refused');
    await stopped;
  }

  #tell(request: DoorbellRequest | null): boolean {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(request);
    return waiting !== undefined;
  }

  #ask(request: DoorbellRequest): Promise<DoorbellAnswer> {
    return new Promise((settle) => {
      this.#inHand = { request, settle };
      this.#isTold = this.#tell(request);
    });
  }

  #serve(request: DoorbellRequest): DoorbellAnswer | Promise<DoorbellAnswer> {
    try {
      if (request === 'reset' && this.#guest.pauseNow !== undefined) {
        this.#verbs.resetNow();
        return 'restored';
      }
      const work = request === 'save' ? this.#verbs.checkpoint() : this.#verbs.resetToCheckpoint();
      const answer = request === 'save' ? 'first' : 'restored';
      return work.then(
        () => answer,
        (error: unknown) => this.#refuse(error),
      );
    } catch (error) {
      return this.#refuse(error);
    }
  }

  #refuse(error: unknown): DoorbellAnswer {
    this.#lastFailure = isVitrineError(error) ? error.code : 'internal';
    return 'refused';
  }
}
