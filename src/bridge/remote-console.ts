// A machine's serial console from outside.

import type { OwnedBytes } from '../base/bytes.ts';
import type { BridgeConnection } from './bridge-connection.ts';
import { Mailbox } from './mailbox.ts';

export interface RemoteConsoleOptions {
  /** What it says; the next bytes come when it has resolved. */
  readonly onBytes: (bytes: OwnedBytes) => void | Promise<void>;
  /** Whether to type too, which needs `admin`; true when left out. */
  readonly input?: boolean;
}

export class RemoteConsole {
  /** Settles when it is over: with the bytes that were lost to this reader, or why. */
  readonly closed: Promise<{ readonly droppedBytes: number }>;
  readonly #typed = new Mailbox<OwnedBytes>();

  private constructor(connection: BridgeConnection, machine: string, options: RemoteConsoleOptions) {
    this.closed = connection.call(
      'machineConsole',
      { machine, input: options.input ?? true },
      { onBytes: options.onBytes, input: this.#input() },
    );
    this.closed.catch(() => {});
  }

  static open(connection: BridgeConnection, machine: string, options: RemoteConsoleOptions): RemoteConsole {
    return new RemoteConsole(connection, machine, options);
  }

  /** Types. After the end it does nothing. */
  write(bytes: OwnedBytes): void {
    if (!this.#typed.isClosed) this.#typed.put(bytes);
  }

  /** Ends it; the machine goes on. */
  close(): void {
    this.#typed.close();
  }

  async *#input(): AsyncGenerator<OwnedBytes> {
    for (;;) {
      const bytes = await this.#typed.take();
      if (bytes === undefined) return;
      yield bytes;
    }
  }
}
