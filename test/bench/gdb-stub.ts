// QEMU's gdb stub as a reader of physical memory: `m` packets, acknowledged, 2 KB at a time, which is all that a packet holds.

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { Qmp } from '../../src/host/qemu/qmp.ts';

const PACKET_BYTES = 2048;
/** That the machine stopped, which comes by itself when we attach: before or after the first answer. */
const STOP_REPLY = /^[TS][0-9a-f]{2}/;

export interface GdbStub {
  /** Reads so many bytes. */
  read(address: number, lengthBytes: number): Promise<void>;
  close(): void;
}

/** Has QEMU open its stub at `path` and attaches, which stops the machine. */
export async function openGdbStub(monitor: Qmp, path: string): Promise<GdbStub> {
  await monitor.execute('human-monitor-command', {
    'command-line': `gdbserver unix:${path},server=on,wait=off`,
  });
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 1));
  const stub = new Stub(connect(path));
  await stub.open();
  return stub;
}

class Stub implements GdbStub {
  readonly #socket: Socket;
  #text = '';
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.#text += text;
      this.#wake();
    });
  }

  async open(): Promise<void> {
    await once(this.#socket, 'connect');
    // Physical addresses.
    await this.#ask('Qqemu.PhyMemMode:1');
  }

  async read(address: number, lengthBytes: number): Promise<void> {
    for (let at = 0; at < lengthBytes; at += PACKET_BYTES) {
      const answer = await this.#ask(`m${(address + at).toString(16)},${PACKET_BYTES.toString(16)}`);
      if (answer.length !== 2 * PACKET_BYTES) throw new Error(`the stub says ${answer.slice(0, 20)}`);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  async #ask(command: string): Promise<string> {
    let sum = 0;
    for (const character of command) sum = (sum + character.charCodeAt(0)) & 0xff;
    this.#text = '';
    this.#socket.write(`$${command}#${sum.toString(16).padStart(2, '0')}`);
    for (;;) {
      const found = /\$([^#]*)#[0-9a-f]{2}/.exec(this.#text);
      if (found !== null) {
        this.#socket.write('+');
        const answer = found[1] ?? '';
        if (!STOP_REPLY.test(answer)) return answer;
        this.#text = this.#text.slice(found.index + found[0].length);
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
