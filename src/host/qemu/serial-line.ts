// A machine's first serial line, over the socket on which QEMU serves it. What the machine wrote last is kept, to a bound,
// for whoever comes later; QEMU logs it as well, so that it is there for the next owner of a machine whose owner was killed.

import { connect as connectSocket, type Socket } from 'node:net';
import { VitrineError } from '../../base/error.ts';
import { KIB } from '../../base/limits.ts';
import { AppendedFile } from './appended-file.ts';
import type { MachineFiles } from './profile.ts';

/** Output kept for those who come later: some screens. */
export const KEPT_OUTPUT_BYTES = 64 * KIB;
/** Input that waits while the machine does not read; more is refused. */
const MAX_WAITING_BYTES = 64 * KIB;

export type OutputListener = (bytes: Uint8Array) => void;

/** Connects to a machine's line. Throws `guest-lost` when nobody listens there. */
export function connectSerial({
  serial: path,
  serialLog,
}: Pick<MachineFiles, 'serial' | 'serialLog'>): Promise<SerialLine> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ path });
    socket.once('error', (cause) =>
      reject(new VitrineError('guest-lost', { reason: cause.message }, { cause })),
    );
    socket.once('connect', () => resolve(new SerialLine(socket, new AppendedFile(serialLog))));
  });
}

export class SerialLine {
  #socket: Socket;
  readonly #listeners = new Set<OutputListener>();
  #log: AppendedFile;
  #kept: Buffer;
  #isOpen = true;
  /** Input that waits for the machine to be elsewhere; undefined while it goes to the socket. */
  #held: Buffer[] | undefined;

  /** `log` has what was written before; it is closed with the line. */
  constructor(socket: Socket, log: AppendedFile) {
    this.#socket = socket;
    this.#log = log;
    this.#kept = log.tail(KEPT_OUTPUT_BYTES);
    this.#hear(socket);
  }

  /**
   * The machine goes on in another process, whose line `next` is, and has not printed anything there; the one before has ended. Resolves
   * when all that it printed was heard. Input that it had not read is lost, but for what was held.
   */
  async follow(next: SerialLine): Promise<void> {
    if (this.#isOpen) await new Promise((resolve) => this.#socket.once('close', resolve));
    this.#log.close();
    this.#socket = next.#socket;
    this.#log = next.#log;
    this.#isOpen = next.#isOpen;
    this.#socket.removeAllListeners('data');
    this.#hear(this.#socket);
  }

  /** The machine is about to go on elsewhere: what is typed from now on waits for `release`. */
  hold(): void {
    this.#held ??= [];
  }

  /** What was typed meanwhile goes to where the machine is now. */
  release(): void {
    const held = this.#held?.splice(0) ?? [];
    this.#held = undefined;
    if (this.#isOpen) for (const input of held) this.#socket.write(input);
  }

  /** The end of what the machine wrote. */
  get recent(): Uint8Array {
    return this.#kept;
  }

  /** Hears what the machine writes until the answer is called. */
  onOutput(listener: OutputListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Types into the machine. Throws `guest-closed`, and `busy` when it does not read what was typed before. */
  write(input: string | Uint8Array): void {
    const held = this.#held;
    if (!this.#isOpen && held === undefined) throw new VitrineError('guest-closed');
    const waitingBytes = held?.reduce((sum, { length }) => sum + length, 0) ?? this.#socket.writableLength;
    if (waitingBytes > MAX_WAITING_BYTES) {
      throw new VitrineError('busy', { underWay: 'input that the machine does not read' });
    }
    if (held === undefined) this.#socket.write(input);
    else held.push(Buffer.from(input));
  }

  #hear(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => {
      this.#kept = Buffer.concat([this.#kept, chunk]).subarray(-KEPT_OUTPUT_BYTES);
      for (const listener of [...this.#listeners]) listener(chunk);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      if (socket === this.#socket) this.#isOpen = false;
    });
  }

  close(): void {
    this.#isOpen = false;
    this.#listeners.clear();
    this.#log.close();
    this.#socket.destroy();
  }
}
