// A host machine's serial console for a terminal: text in both directions, and what it said kept for a terminal that is
// shown later. It opens itself again when the connection was lost.

import type { BridgeClient } from '../bridge/bridge-client.ts';
import type { RemoteConsole } from '../bridge/remote-console.ts';

/** Characters of output kept. */
const MAX_BACKLOG = 200_000;

export class HostConsole {
  readonly name: string;
  readonly #bridge: BridgeClient;
  readonly #input: boolean;
  readonly #encoder = new TextEncoder();
  #port: RemoteConsole | null = null;
  #output = '';
  #onOutput: ((text: string) => void) | null = null;
  #isClosed = false;

  /** `input` says whether the session may type. */
  constructor(bridge: BridgeClient, name: string, input: boolean) {
    this.name = name;
    this.#bridge = bridge;
    this.#input = input;
    void this.#follow();
  }

  showOutput(listener: (text: string) => void): void {
    this.#onOutput = listener;
    listener(this.#output);
  }

  write(text: string): void {
    this.#port?.write(this.#encoder.encode(text));
  }

  close(): void {
    this.#isClosed = true;
    this.#port?.close();
  }

  /** Until it is closed or the machine has none: what it says, over every connection. */
  async #follow(): Promise<void> {
    while (!this.#isClosed) {
      const decoder = new TextDecoder();
      const onBytes = (bytes: Uint8Array): void => this.#take(decoder.decode(bytes, { stream: true }));
      try {
        const { link } = this.#bridge;
        await link.nextConnection();
        this.#port = this.#bridge.machine(this.name).openConsole({ onBytes, input: this.#input });
        await this.#port.closed;
        return;
      } catch {
        if (this.#bridge.state.kind === 'open' || this.#bridge.state.kind === 'closed') return;
      }
    }
  }

  #take(text: string): void {
    this.#output = (this.#output + text).slice(-MAX_BACKLOG);
    this.#onOutput?.(text);
  }
}
