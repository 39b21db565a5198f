// Opens a Raspberry Pi Pico's chip with Tally in its flash. Its serial line is the terminal.

import { isVitrineError } from '../../base/error.ts';
import { openRp2040, type Rp2040Board, tallyFirmware } from '../../guest/rp2040/index.ts';
import type { GuestSpec, OpenedGuest } from '../../rpc/guest-host.ts';
import { Backlog } from './backlog.ts';

/** Pasted text past this is dropped. */
const MAX_WAITING_BYTES = 64 * 1024;
const RETRY_MS = 10;

/** With `options.deterministic` it stands still until somebody runs it. */
export async function openRp2040WithTally({ options }: GuestSpec): Promise<OpenedGuest> {
  const board = openRp2040({ firmware: tallyFirmware() });
  const decoder = new TextDecoder();
  const backlog = new Backlog();
  board.onSerial((bytes) => backlog.take(decoder.decode(bytes, { stream: true })));
  if (options?.deterministic !== true) board.start();
  const typist = new Typist(board);
  return {
    guest: board.guest,
    console: {
      write: (text) => typist.type(text),
      onOutput: (listener) => backlog.listen(listener),
    },
  };
}

/** Sends what was typed as fast as the chip takes it, which holds 32 bytes; a chip that rests takes none. */
class Typist {
  readonly #board: Rp2040Board;
  readonly #encoder = new TextEncoder();
  #waiting = new Uint8Array(0);
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(board: Rp2040Board) {
    this.#board = board;
  }

  type(text: string): void {
    const bytes = this.#encoder.encode(text);
    const room = MAX_WAITING_BYTES - this.#waiting.length;
    this.#waiting = Uint8Array.of(...this.#waiting, ...bytes.subarray(0, room));
    if (this.#timer === undefined) this.#send();
  }

  #send(): void {
    this.#timer = undefined;
    try {
      this.#waiting = this.#waiting.slice(this.#board.sendSerial(this.#waiting));
    } catch (error) {
      // It rests, and takes them afterwards; closed, it never does.
      if (!isVitrineError(error, 'wrong-state')) return;
    }
    if (this.#waiting.length > 0) this.#timer = setTimeout(() => this.#send(), RETRY_MS);
  }
}
