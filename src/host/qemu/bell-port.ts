// The host's end of a bell: the socket on which QEMU serves a virtio-serial port.
//
// What goes through such a port moves in guest memory. A machine that runs takes what is said to it once QEMU has looked at the socket
// (`until-looked.ts`). One that rests takes nothing: what was said lies in the socket until it runs on. What the guest wrote comes out also
// then, and a save must not look at memory in which that goes on: `settle` waits until all has come.
//
// The guest may write without an end. What is not read waits in QEMU and then in the guest, so a flood stops there; what was read
// already, and comes behind the line at which the port was held, waits here. A guest that does not read its answers gets no more of
// them.

import { connect as connectSocket, type Socket } from 'node:net';
import { VitrineError } from '../../base/error.ts';
import { KIB } from '../../base/limits.ts';
import { BELL_CHARDEV } from './profile.ts';
import type { Qmp } from './qmp.ts';
import { untilLooked } from './until-looked.ts';

const LINE_END = 0x0a;
/** How long a port that was open in a state may take to be open again once that runs. */
const OPEN_TRIES = 20;
const OPEN_REST_MS = 5;
/** Said and not taken by QEMU, since the guest does not read: more would only fill our memory. */
const MAX_UNREAD_BYTES = 64 * KIB;

export interface BellPortOptions {
  readonly maxLineBytes: number;
  /** A line without its end, or undefined for one that is too long or no text. */
  readonly onLine: (line: string | undefined) => void;
}

/** Connects to the port at `path`. Throws `guest-lost` when nobody listens there. */
export function connectBellPort(path: string, qmp: Qmp, options: BellPortOptions): Promise<BellPort> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ path });
    socket.once('error', (cause) =>
      reject(new VitrineError('guest-lost', { reason: cause.message }, { cause })),
    );
    socket.once('connect', () => resolve(new BellPort(socket, qmp, options)));
  });
}

export class BellPort {
  #socket: Socket;
  #qmp: Qmp;
  readonly #options: BellPortOptions;
  /** The line that has begun; undefined where it is too long already. */
  #line: Buffer | undefined = Buffer.alloc(0);
  #receivedBytes = 0;
  #isUsed = false;
  #isHeld = false;
  /** Came while the port was held. */
  #waiting: Buffer[] = [];
  /** It was open where the machine ran before, and QEMU has not told of it since it runs here. */
  #isOpenStill = false;
  readonly #hear = (chunk: Buffer): void => {
    this.#isUsed = true;
    this.#receivedBytes += chunk.length;
    this.#take(chunk);
  };

  constructor(socket: Socket, qmp: Qmp, options: BellPortOptions) {
    this.#socket = socket;
    this.#qmp = qmp;
    this.#options = options;
    socket.on('data', this.#hear);
    // That it ended is told by the monitor.
    socket.on('error', () => {});
  }

  /**
   * The machine, at rest and settled, goes on in another process, whose port `next` is, at which nothing was said or heard. What was
   * heard in part is heard on there.
   */
  async follow(next: BellPort): Promise<void> {
    // Where nobody can say any more, it is likelier: whoever rang waits.
    const wasOpen = await this.isOpen().catch(() => true);
    this.#socket.off('data', this.#hear).destroy();
    this.#socket = next.#socket;
    this.#qmp = next.#qmp;
    this.#socket.removeAllListeners('data').on('data', this.#hear);
    if (this.#isHeld) this.#socket.pause();
    this.#isUsed = true;
    this.#isOpenStill = wasOpen;
    // QEMU tells of ports once the machine runs, somewhat after it runs.
    const stop = this.#qmp.onEvent(({ event, data }) => {
      if (event !== 'VSERPORT_CHANGE' || data.id !== BELL_CHARDEV) return;
      this.#isOpenStill = false;
      stop();
    });
  }

  /** Whether a program of the guest has the port open at the moment. */
  async isOpen(): Promise<boolean> {
    return (await this.#isToldOpen()) || this.#isOpenStill;
  }

  async #isToldOpen(): Promise<boolean> {
    const devices = await this.#qmp.execute('query-chardev');
    return devices.find(({ label }) => label === BELL_CHARDEV)?.['frontend-open'] ?? false;
  }

  /** Only while the machine runs. */
  say(text: string): void {
    if (this.#socket.writableLength > MAX_UNREAD_BYTES) return;
    const bytes = Buffer.from(text);
    this.#isUsed = true;
    this.#socket.write(bytes);
  }

  /** Resolves when a machine that runs has taken what was said, if it has room: one that rests takes nothing. Throws `guest-lost`. */
  untilTaken(): Promise<void> {
    return untilLooked(this.#qmp);
  }

  /** As `untilTaken`, where the port is about to be told open; for a while, since whoever opened it may close it first. */
  async untilOpenAndTaken(): Promise<void> {
    for (let tries = 0; tries < OPEN_TRIES && !(await this.#isToldOpen()); tries++) {
      await new Promise((resolve) => setTimeout(resolve, OPEN_REST_MS));
    }
    await untilLooked(this.#qmp);
  }

  /** Lets what the guest writes wait: what comes behind the line that is heard at the moment, in QEMU, and then in the guest. */
  hold(): void {
    this.#isHeld = true;
    this.#socket.pause();
  }

  goOn(): void {
    this.#isHeld = false;
    // What is heard may hold it again.
    for (const chunk of this.#waiting.splice(0)) this.#take(chunk);
    if (!this.#isHeld) this.#socket.resume();
  }

  /** The machine rests: resolves when nothing moves any more, and all that the guest wrote before has been heard. */
  async settle(): Promise<void> {
    // Of one that is held, too: a guest that rests cannot write without an end.
    this.#socket.resume();
    try {
      await this.#untilStill();
    } finally {
      if (this.#isHeld) this.#socket.pause();
    }
  }

  async #untilStill(): Promise<void> {
    await roundTheLoop();
    if (!this.#isUsed) return;
    for (let before = -1; before !== this.#receivedBytes; ) {
      before = this.#receivedBytes;
      await untilLooked(this.#qmp);
      await roundTheLoop();
    }
  }

  /** Forgets a line that has begun: the guest was brought to another instant. */
  forget(): void {
    this.#line = Buffer.alloc(0);
    this.#waiting = [];
    // Something may wait in the state that was loaded.
    this.#isUsed = true;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    for (let at = 0; ; ) {
      if (this.#isHeld) {
        if (at < chunk.length) this.#waiting.push(chunk.subarray(at));
        return;
      }
      const end = chunk.indexOf(LINE_END, at);
      const part = chunk.subarray(at, end < 0 ? chunk.length : end);
      const lengthBytes = (this.#line?.length ?? 0) + part.length;
      const line =
        this.#line === undefined || lengthBytes > this.#options.maxLineBytes
          ? undefined
          : Buffer.concat([this.#line, part]);
      if (end < 0) {
        this.#line = line;
        return;
      }
      this.#line = Buffer.alloc(0);
      at = end + 1;
      this.#options.onLine(line && textOf(line));
    }
  }
}

/** What had come to our sockets by now has been read when this resolves. */
async function roundTheLoop(): Promise<void> {
  for (let round = 0; round < 2; round++) await new Promise((resolve) => setImmediate(resolve));
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
