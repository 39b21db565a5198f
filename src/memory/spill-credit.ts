// Between a guest's thread and a saver in another one: how many old pages, for which the ring had no room, may be on their way
// at once, and whether either of them has left.
//
//   | Offset | Size | Word                                  | Written by |
//   |--------|------|---------------------------------------|------------|
//   | 0      | 4    | pages that the saver has taken        | saver      |
//   | 4      | 4    | 1 when the saver wants no more        | saver      |
//   | 8      | 4    | 1 when the guest gives the barrier up | guest      |
//
// Each word has one writer and is stored and loaded atomically; none orders anything but itself, since pages travel by
// messages. The guest counts by itself what it sent, and waits for the first word to move when too many are on their way.
// Where a thread may not block (a page's own), and while the saver does not move, it does not wait: then memory grows instead.

/** Pages on their way: 128 KiB of the usual size. */
const MAX_WAITING = 32;

/** A saver that does not move for so long is busy with something else, or gone. */
const WAIT_MS = 50;

const WORD = { taken: 0, saverLeft: 1, guestLeft: 2 } as const;
const BLOCK_BYTES = 12;

export class SpillCredit {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  #sent = 0;
  /** Where the saver stood when a wait for it was in vain. */
  #stuckAt: number | undefined;

  constructor(buffer = new SharedArrayBuffer(BLOCK_BYTES)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /** Whether the saver takes no more pages. */
  get hasSaverLeft(): boolean {
    return Atomics.load(this.#words, WORD.saverLeft) === 1;
  }

  /** Whether the guest has given the barrier up, and with it the memory of its blocks. */
  get hasGuestLeft(): boolean {
    return Atomics.load(this.#words, WORD.guestLeft) === 1;
  }

  /** The guest's side: counts a page that is about to be sent, and waits while too many are on their way. */
  spend(): void {
    const taken = Atomics.load(this.#words, WORD.taken);
    const isFull = ((this.#sent - taken) | 0) >= MAX_WAITING;
    if (isFull && taken !== this.#stuckAt && !this.hasSaverLeft) this.#wait(taken);
    this.#sent = (this.#sent + 1) | 0;
  }

  /** The saver's side: a page was taken. */
  giveBack(): void {
    Atomics.add(this.#words, WORD.taken, 1);
    Atomics.notify(this.#words, WORD.taken);
  }

  /** The saver wants no more; a guest that waits goes on. */
  leaveAsSaver(): void {
    Atomics.store(this.#words, WORD.saverLeft, 1);
    Atomics.notify(this.#words, WORD.taken);
  }

  /** The guest gives the barrier up. */
  leaveAsGuest(): void {
    Atomics.store(this.#words, WORD.guestLeft, 1);
  }

  #wait(taken: number): void {
    try {
      if (Atomics.wait(this.#words, WORD.taken, taken, WAIT_MS) === 'timed-out') this.#stuckAt = taken;
    } catch (error) {
      // A thread that may not block says so by a TypeError.
      if (!(error instanceof TypeError)) throw error;
      this.#stuckAt = taken;
    }
  }
}
