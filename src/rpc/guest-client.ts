// A guest's worker from outside: opened, shown, typed at, and handed to an engine.

import { proxy, type Remote, transfer } from 'comlink';
import type { VitrineError } from '../base/error.ts';
import type { TrackerDescription } from '../tracking/tracker.ts';
import type { EngineClient, MachineClient } from './engine-client.ts';
import type { GuestHost, GuestSpec } from './guest-host.ts';
import { type SupervisedWorker, supervise } from './supervision.ts';

/**
 * Opens a guest in `worker`, which runs `workers/guest.ts` or one like it.
 *
 * Throws `worker-start`, and what opening the guest throws; the worker is then gone.
 */
export async function startGuest(worker: Worker, spec: GuestSpec): Promise<GuestClient> {
  const supervised = await supervise<GuestHost>(worker);
  try {
    return new GuestClient(supervised, await supervised.api.open(spec));
  } catch (error) {
    supervised.terminate();
    throw error;
  }
}

export interface JoinOptions {
  /**
   * Where the guest's pages are compared and its mirror is kept: in the engine's worker, so that the guest's own does
   * little but rest for it, or in the guest's. `engine` when left out; a guest without shared memory is tracked in its own
   * worker either way.
   */
  readonly track?: 'engine' | 'guest';
}

export class GuestClient {
  readonly description: TrackerDescription;
  readonly #worker: SupervisedWorker<GuestHost>;
  readonly #api: Remote<GuestHost>;
  #closed = false;

  constructor(worker: SupervisedWorker<GuestHost>, description: TrackerDescription) {
    this.#worker = worker;
    this.#api = worker.api;
    this.description = description;
  }

  /** Resolves when the worker is gone. */
  get lost(): Promise<VitrineError> {
    return this.#worker.lost;
  }

  /**
   * Puts the guest under an engine by that name; when its worker dies the engine lets it go, and the other way round.
   *
   * Throws what `EngineClient.adopt` throws.
   */
  async join(engine: EngineClient, name: string, options: JoinOptions = {}): Promise<MachineClient> {
    const { port1, port2 } = new MessageChannel();
    const offer = await this.#api.connect(transfer(port1, [port1]), options.track ?? 'engine');
    const machine = await engine.adopt(name, offer === null ? port2 : { port: port2, offer });
    void this.lost.then(() => machine.release()).catch(() => {});
    void engine.lost.then(() => this.#api.disconnect()).catch(() => {});
    return machine;
  }

  write(text: string): Promise<void> {
    return this.#api.write(text);
  }

  sendKeys(scanCodes: readonly number[]): Promise<void> {
    return this.#api.sendKeys(scanCodes);
  }

  async onOutput(listener: (text: string) => void): Promise<void> {
    await this.#api.onOutput(proxy(listener));
  }

  async onFrame(listener: (frame: unknown) => void): Promise<void> {
    await this.#api.onFrame(proxy(listener));
  }

  setRunning(running: boolean): Promise<void> {
    return this.#api.setRunning(running);
  }

  /** Closes the guest and ends its worker. May be called again. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#api.close();
    } finally {
      this.#worker.terminate();
    }
  }
}
