// A guest's doorbell across the port. Who may ring is settled in the guest's worker, so that a flood of rings stays there; a
// ring that is allowed crosses as one message, and the guest rests until its answer has come back.
//
//   guest's worker: desk ── vitrine:ring, number, request ─▶ PortDoorbell ─▶ server
//                   desk ◀────────── answerRing, number, answer ─────────────┘
//
// A guest whose server's worker is lost is refused by its own: `BellServer.release`.

import { VitrineError } from '../base/error.ts';
import type {
  Doorbell,
  DoorbellAnswer,
  DoorbellCounts,
  DoorbellRequest,
  DoorbellServer,
} from '../guest/doorbell.ts';
import type { Guest } from '../guest/guest.ts';

/** What is told of a doorbell before it is used. */
export type DoorbellOffer = Pick<Doorbell, 'place' | 'instant'>;

/** A message of its own at the port: the guest rang, and rests. */
export interface RingMessage {
  readonly kind: 'vitrine:ring';
  readonly ring: number;
  readonly request: DoorbellRequest;
}

/** The calls at the port. */
export interface ServedBell {
  serveDoorbell(maxPerSecond: number): Promise<void>;
  stopDoorbell(): Promise<void>;
  doorbellCounts(): Promise<DoorbellCounts>;
  answerRing(ring: number, answer: DoorbellAnswer): Promise<void>;
}

/** In the guest's worker: lets the guest ring, and holds each ring until it is answered. */
export class BellServer {
  readonly #guest: Guest;
  readonly #post: (message: RingMessage) => void;
  readonly #inHand = new Map<number, (answer: DoorbellAnswer) => void>();
  #ringCount = 0;
  #isServed = false;

  constructor(guest: Guest, post: (message: RingMessage) => void) {
    this.#guest = guest;
    this.#post = post;
  }

  /** Throws as `Doorbell.serve`, and `unsupported` where the guest has none. */
  async serve(maxPerSecond: number): Promise<void> {
    const { doorbell, machine } = this.#guest;
    if (doorbell === undefined) {
      throw new VitrineError('unsupported', { missing: 'doorbell', guest: machine.kind });
    }
    await doorbell.serve((request) => this.#ring(request), { maxPerSecond });
    this.#isServed = true;
  }

  async stop(): Promise<void> {
    if (!this.#isServed) return;
    this.#isServed = false;
    await this.#guest.doorbell?.stop();
  }

  answer(ring: number, answer: DoorbellAnswer): void {
    const settle = this.#inHand.get(ring);
    this.#inHand.delete(ring);
    settle?.(answer);
  }

  /** Whoever served is gone: nobody serves, and the guest does not wait. */
  async release(): Promise<void> {
    await this.stop();
    for (const ring of [...this.#inHand.keys()]) this.answer(ring, 'refused');
  }

  #ring(request: DoorbellRequest): Promise<DoorbellAnswer> {
    const ring = ++this.#ringCount;
    return new Promise((settle) => {
      this.#inHand.set(ring, settle);
      this.#post({ kind: 'vitrine:ring', ring, request });
    });
  }
}

/** In the tracker's worker: the doorbell as it is served there. */
export class PortDoorbell implements Doorbell {
  readonly place: string;
  readonly instant: Doorbell['instant'];
  readonly #api: ServedBell;
  #counts: DoorbellCounts = { rings: 0, saves: 0, resets: 0, refused: 0 };
  #server: DoorbellServer | undefined;

  constructor(api: ServedBell, { place, instant }: DoorbellOffer) {
    this.place = place;
    this.instant = instant;
    this.#api = api;
  }

  get counts(): DoorbellCounts {
    return this.#counts;
  }

  async refresh(): Promise<void> {
    this.#counts = await this.#api.doorbellCounts();
  }

  /** Resolves when the guest can ring. Throws as `Doorbell.serve`, and `worker-lost`. */
  async serve(server: DoorbellServer, { maxPerSecond }: { readonly maxPerSecond: number }): Promise<void> {
    const before = this.#server;
    // Set before, for it may ring before the answer is heard here.
    this.#server = server;
    try {
      await this.#api.serveDoorbell(maxPerSecond);
    } catch (error) {
      this.#server = before;
      throw error;
    }
  }

  /** Resolves when the guest cannot ring any longer, also where its worker is lost. */
  async stop(): Promise<void> {
    if (this.#server === undefined) return;
    this.#server = undefined;
    await this.#api.stopDoorbell().catch(() => {});
  }

  /** A ring that came over. One that nobody serves, as it crossed the end of the serving, is refused. */
  async takeRing({ ring, request }: RingMessage): Promise<void> {
    let answer: DoorbellAnswer = 'refused';
    try {
      if (this.#server !== undefined) answer = await this.#server(request);
    } catch {
      // A server that throws refuses.
    }
    // Whoever was lost meanwhile needs no answer.
    await this.#api.answerRing(ring, answer).catch(() => {});
  }
}
