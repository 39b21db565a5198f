// Opens the flat guest and lets it run: a thousand steps fifty times a second, and a line of what it did every second.

import { MIB } from '../../base/limits.ts';
import { FlatGuest } from '../../guest/flat.ts';
import type { OpenedGuest } from '../../rpc/guest-host.ts';
import { Backlog } from './backlog.ts';

const TURN_MS = 20;
const STEPS_A_TURN = 1000;
const TURNS_A_LINE = 50;

export async function openFlat(): Promise<OpenedGuest> {
  const guest = new RestingFlatGuest({
    regions: [{ name: 'ram', bytes: new Uint8Array(MIB), guestAddress: 0 }],
    tracking: 'barrier',
  });
  const backlog = new Backlog();
  let turns = 0;
  const timer = setInterval(() => {
    if (guest.rests) return;
    const seen = guest.run(STEPS_A_TURN);
    turns++;
    if (turns % TURNS_A_LINE === 0) backlog.take(`${seen}\r\n`);
  }, TURN_MS);
  guest.whenClosed(() => clearInterval(timer));
  return {
    guest,
    console: {
      write: (text) => backlog.take(text === '\r' ? '\r\n' : text),
      onOutput: (listener) => backlog.listen(listener),
    },
  };
}

/** A flat guest that knows whether it rests, as whoever drives an emulator has to. */
class RestingFlatGuest extends FlatGuest {
  #pauses = 0;
  #onClose = (): void => {};

  get rests(): boolean {
    return this.#pauses > 0;
  }

  whenClosed(listener: () => void): void {
    this.#onClose = listener;
  }

  override async pause(): Promise<void> {
    await super.pause();
    this.#pauses++;
  }

  override async resume(): Promise<void> {
    await super.resume();
    this.#pauses--;
  }

  override async close(): Promise<void> {
    this.#onClose();
    await super.close();
  }
}
