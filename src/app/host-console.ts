// A host machine's serial console for a terminal: text in both directions, and what it said kept for a terminal that is
// shown later. It opens itself again when the connection was lost; the machine then says again what it said last.

import { isVitrineError } from '../base/error.ts';
import type { BridgeClient } from '../bridge/bridge-client.ts';
import type { RemoteConsole } from '../bridge/remote-console.ts';
import { remarkLine } from './remark-line.ts';

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
  #isOver = false;

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

  /** Says between its lines what was done to the machine. */
  remark(text: string): void {
    this.#take(remarkLine(text));
  }

  write(text: string): void {
    this.#port?.write(this.#encoder.encode(text));
  }

  close(): void {
    this.#isClosed = true;
    this.#port?.close();
  }

  /** Whether nothing more will come: it was closed, the machine ended, or the bridge will not be reached any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  async #follow(): Promise<void> {
    try {
      while (!this.#isClosed) {
        // Throws when there will be no other connection.
        await this.#bridge.link.nextConnection();
        if (await this.#followConnection()) return;
      }
    } catch {
      // The pane says how the connection stands.
    } finally {
      this.#isOver = true;
    }
  }

  /** What it says, over one connection. Returns whether that was all, and not the connection that ended. */
  async #followConnection(): Promise<boolean> {
    const decoder = new TextDecoder();
    const onBytes = (bytes: Uint8Array): void => this.#take(decoder.decode(bytes, { stream: true }));
    try {
      this.#port = this.#bridge.machine(this.name).openConsole({ onBytes, input: this.#input });
      await this.#port.closed;
      return true;
    } catch (error) {
      return !isVitrineError(error, 'connection-lost');
    }
  }

  #take(text: string): void {
    this.#output = (this.#output + text).slice(-MAX_BACKLOG);
    this.#onOutput?.(text);
  }
}
