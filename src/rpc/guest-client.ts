// A guest's worker from outside: opened, shown, typed at, and handed to an engine.

import { proxy, type Remote, transfer } from 'comlink';
import type { VitrineError } from '../base/error.ts';
import type { StepPlace, Steps } from '../guest/steps.ts';
import type { SharedMemory } from '../memory/shared-memory.ts';
import type { TrackerDescription } from '../tracking/tracker.ts';
import type { EngineClient, MachineClient } from './engine-client.ts';
import type { GuestHost, GuestSpec } from './guest-host.ts';
import type { GuestOffer } from './guest-port.ts';
import { type SupervisedWorker, supervise } from './supervision.ts';

/**
 * Opens a guest in `worker`, which runs `workers/guest.ts` or one like it.
 *
 * Throws `worker-start`, and what opening the guest throws; the worker is then gone.
 */
export async function startGuest(worker: Worker, spec: GuestSpec): Promise<GuestClient> {
  const supervised = await supervise<GuestHost>(worker);
  try {
    const description = await supervised.api.open(spec);
    return new GuestClient(supervised, description, await supervised.api.offer());
  } catch (error) {
    supervised.terminate();
    throw error;
  }
}

export interface JoinOptions {
  /**
   * Where the guest's pages are compared and its mirror is kept: in its own worker, or in the engine's, so that its own
   * does little but rest for it. `guest` when left out; a guest without shared memory is tracked there either way, and what
   * has to happen in the guest's own thread (its doorbell, resets thousands of times a second) is to be had there alone.
   */
  readonly track?: 'engine' | 'guest';
}

export class GuestClient {
  readonly description: TrackerDescription;
  /**
   * Where the guest's memory lies, to be copied from while it runs (`copyShared`); undefined where it is not shared:
   * `description.traits` say why.
   */
  readonly shared: SharedMemory | undefined;
  /** Back and forth over what the guest did; its calls throw `unsupported` where it cannot. */
  readonly steps: Omit<Steps, 'go'> & { go(steps: number): Promise<StepPlace> };
  readonly #offer: GuestOffer | null;
  readonly #worker: SupervisedWorker<GuestHost>;
  readonly #api: Remote<GuestHost>;
  #closed = false;

  constructor(
    worker: SupervisedWorker<GuestHost>,
    description: TrackerDescription,
    offer: GuestOffer | null,
  ) {
    this.shared = offer?.shared;
    this.#offer = offer;
    this.#worker = worker;
    this.#api = worker.api;
    this.description = description;
    this.steps = {
      begin: () => this.#api.beginSteps(),
      hold: () => this.#api.holdSteps(),
      go: (steps) => this.#api.goToStep(steps),
      release: () => this.#api.releaseSteps(),
    };
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
    const offer = this.#offer;
    const track = offer === null ? 'guest' : (options.track ?? 'guest');
    await this.#api.connect(transfer(port1, [port1]), track);
    const machine = await engine.adopt(name, offer === null ? port2 : { port: port2, offer, track });
    void this.lost.then(() => machine.release()).catch(() => {});
    void engine.lost.then(() => this.#api.disconnect()).catch(() => {});
    return machine;
  }

  /** A port at which an engine finds the guest as a spare one to verify snapshots in: see `EngineClient.verifyByReplay`. */
  async serveReplay(): Promise<MessagePort> {
    const { port1, port2 } = new MessageChannel();
    await this.#api.serveReplay(transfer(port1, [port1]));
    return port2;
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
