// What bytes at hand cost between two processes of this machine: through bare TCP, read into one piece of memory, and through
// bare WebSockets of `ws`. Each time they are copied to where a client wants them, as a peek does.

import { type ChildProcess, fork } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';

const KIB = 1024;
/** As long as the data frames of a bridge. */
const MESSAGE_BYTES = 512 * KIB;
const READ_BYTES = 256 * KIB;
const LOOPBACK = '127.0.0.1';

interface Ports {
  readonly tcp: number;
  readonly ws: number;
}

export class LoopbackFloor {
  readonly #child: ChildProcess;
  readonly #into: Uint8Array;
  #socket: Socket | undefined;
  #webSocket: WebSocket | undefined;
  #at = 0;
  #done: () => void = () => {};

  private constructor(child: ChildProcess, lengthBytes: number) {
    this.#child = child;
    this.#into = new Uint8Array(lengthBytes);
  }

  static async open(lengthBytes: number): Promise<LoopbackFloor> {
    const child = fork(fileURLToPath(new URL('loopback-peer.mjs', import.meta.url)), [
      String(lengthBytes),
      String(MESSAGE_BYTES),
    ]);
    const floor = new LoopbackFloor(child, lengthBytes);
    const ports = await new Promise<Ports>((resolve, reject) => {
      child.once('message', (message) => resolve(message as Ports));
      child.once('exit', () => reject(new Error('the peer of the loopback floor ended')));
    });
    await floor.#connect(ports);
    return floor;
  }

  overTcp(): Promise<void> {
    return this.#fetch(() => this.#socket!.write('?'));
  }

  overWebSocket(): Promise<void> {
    return this.#fetch(() => this.#webSocket!.send('?'));
  }

  close(): void {
    this.#socket?.destroy();
    this.#webSocket?.terminate();
    this.#child.kill();
  }

  async #connect({ tcp, ws }: Ports): Promise<void> {
    const callback = (length: number, memory: Uint8Array): boolean => {
      this.#take(memory.subarray(0, length));
      return true;
    };
    const onread = { buffer: new Uint8Array(READ_BYTES), callback };
    this.#socket = connect({ port: tcp, host: LOOPBACK, onread });
    await new Promise((resolve) => this.#socket!.once('connect', resolve));
    this.#webSocket = new WebSocket(`ws://${LOOPBACK}:${ws}`, { perMessageDeflate: false });
    this.#webSocket.on('message', (data: Buffer) => this.#take(data));
    await new Promise((resolve) => this.#webSocket!.once('open', resolve));
  }

  #fetch(ask: () => void): Promise<void> {
    this.#at = 0;
    return new Promise((resolve) => {
      this.#done = resolve;
      ask();
    });
  }

  #take(bytes: Uint8Array): void {
    this.#into.set(bytes, this.#at);
    this.#at += bytes.length;
    if (this.#at === this.#into.length) this.#done();
  }
}
