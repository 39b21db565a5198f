// A host machine's screen as noVNC wants to be carried: the shape of a WebSocket, over a stream of the bridge. The bridge has
// asked who one is already, so that nothing is asked here.

import type { RfbChannel } from '@novnc/novnc';
import type { RemoteGuest } from '../bridge/remote-guest.ts';
import type { RemoteScreen } from '../bridge/remote-screen.ts';

export class ScreenChannel implements RfbChannel {
  binaryType = 'arraybuffer';
  readonly protocol = '';
  onopen: RfbChannel['onopen'] = null;
  onmessage: RfbChannel['onmessage'] = null;
  onclose: RfbChannel['onclose'] = null;
  onerror: RfbChannel['onerror'] = null;
  /** As `RemoteScreen.closed`. */
  readonly closed: Promise<void>;
  readonly #screen: RemoteScreen;
  #state: 'open' | 'closed' = 'open';

  constructor(machine: RemoteGuest, options: { readonly input: boolean }) {
    this.#screen = machine.openScreen({
      input: options.input,
      // Safe to hand over: what a stream brought is the taker's.
      onBytes: (bytes) => this.onmessage?.({ data: ownBuffer(bytes) }),
    });
    this.closed = this.#screen.closed;
    this.closed.then(
      () => this.#end('the machine ended'),
      () => this.#end('the connection was lost'),
    );
  }

  get readyState(): string {
    return this.#state;
  }

  send(data: ArrayBuffer | Uint8Array): void {
    // noVNC sends from one buffer over and over.
    this.#screen.write(data instanceof ArrayBuffer ? new Uint8Array(data.slice(0)) : Uint8Array.from(data));
  }

  close(): void {
    this.#screen.close();
    this.#end('closed');
  }

  #end(reason: string): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    // Later, as a WebSocket does: noVNC begins to wait for it after it has closed.
    queueMicrotask(() => this.onclose?.({ code: 1000, reason }));
  }
}

function ownBuffer(bytes: Uint8Array<ArrayBuffer>): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = bytes;
  if (byteOffset === 0 && byteLength === buffer.byteLength) return buffer;
  return buffer.slice(byteOffset, byteOffset + byteLength);
}
