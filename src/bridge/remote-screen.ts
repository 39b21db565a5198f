// A machine's screen from outside: the bytes of its VNC server (RFB 3.8, without authentication, which the bridge has done), for a
// viewer such as noVNC. What a viewer may not send the host passes over.

import type { OwnedBytes } from '../base/bytes.ts';
import type { BridgeConnection } from './bridge-connection.ts';
import { Mailbox } from './mailbox.ts';

export interface RemoteScreenOptions {
  /** What the server says; the next bytes come when it has resolved. */
  readonly onBytes: (bytes: OwnedBytes) => void | Promise<void>;
  /** Whether keys and pointer go to the machine, which needs `admin`; true when left out. */
  readonly input?: boolean;
}

export class RemoteScreen {
  /** Settles when it is over: the machine ended or it was closed, or with why it could not be. */
  readonly closed: Promise<void>;
  readonly #sent = new Mailbox<OwnedBytes>();
  readonly #abort = new AbortController();

  private constructor(connection: BridgeConnection, machine: string, options: RemoteScreenOptions) {
    this.closed = connection
      .call(
        'machineScreen',
        { machine, input: options.input ?? true },
        { onBytes: options.onBytes, input: this.#input(), signal: this.#abort.signal },
      )
      .then(() => {});
    this.closed.catch(() => {});
  }

  static open(connection: BridgeConnection, machine: string, options: RemoteScreenOptions): RemoteScreen {
    return new RemoteScreen(connection, machine, options);
  }

  /** Sends what a viewer says. After the end it does nothing. */
  write(bytes: OwnedBytes): void {
    if (!this.#sent.isClosed) this.#sent.put(bytes);
  }

  /** Ends it; the machine goes on. */
  close(): void {
    this.#sent.close();
    this.#abort.abort();
  }

  async *#input(): AsyncGenerator<OwnedBytes> {
    for (;;) {
      const bytes = await this.#sent.take();
      if (bytes === undefined) return;
      yield bytes;
    }
  }
}
