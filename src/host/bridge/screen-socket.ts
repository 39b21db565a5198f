// A connection to the VNC server of a machine, over the socket in its run directory. What it sends is read as it is taken, so
// that a slow reader holds the server back and nothing piles up here.

import { once } from 'node:events';
import { connect as connectSocket, type Socket } from 'node:net';
import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import type { ScreenLine } from '../../bridge/host.ts';

/** Connects to the server at `path`. Throws `guest-lost` when nobody listens there. */
export async function connectScreen(path: string): Promise<ScreenLine> {
  const socket = connectSocket({ path });
  try {
    await once(socket, 'connect');
  } catch (cause) {
    socket.destroy();
    throw new VitrineError('guest-lost', { reason: (cause as Error).message }, { cause });
  }
  return new ScreenSocket(socket);
}

class ScreenSocket implements ScreenLine {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    // An end of either kind ends `output`, which is what its reader waits for.
    socket.on('error', () => {});
  }

  get output(): AsyncIterable<OwnedBytes> {
    return this.#read();
  }

  async write(bytes: OwnedBytes): Promise<void> {
    if (this.#socket.destroyed) throw new VitrineError('guest-closed');
    if (this.#socket.write(bytes)) return;
    await Promise.race([once(this.#socket, 'drain'), once(this.#socket, 'close')]);
  }

  close(): void {
    this.#socket.destroy();
  }

  async *#read(): AsyncGenerator<OwnedBytes> {
    try {
      for await (const chunk of this.#socket) yield new Uint8Array(chunk as Buffer);
    } catch {
      // The server is gone, or the line was closed: the picture ends either way.
    }
  }
}
