// A guest's worker from inside: the guest, its tracker served to the engine at a port, and its console for the page.
// `GuestClient` is the other end.

import type { ProxyMarked } from 'comlink';
import { proxy } from 'comlink';
import { VitrineError } from '../base/error.ts';
import type { Guest } from '../guest/guest.ts';
import type { StepPlace, Steps } from '../guest/steps.ts';
import type { Kernels } from '../kernel/kernels.ts';
import { openScanTracker } from '../tracking/scan-tracker.ts';
import type { Tracker, TrackerDescription } from '../tracking/tracker.ts';
import { exposeGuest, type GuestOffer, type GuestServer, offerOf } from './guest-port.ts';
import { exposeReplayGuest } from './replay-port.ts';
import { exposeTracker } from './tracker-port.ts';

/** What a person uses a guest through. Frames are cloneable; what they hold is between guest and page. */
export interface GuestConsole {
  /** Text typed at the terminal. */
  write(text: string): void;
  /** Text for the terminal. Returns how to stop listening. */
  onOutput(listener: (text: string) => void): () => void;
  /** Keyboard scan codes, for guests with a keyboard. */
  sendKeys?(scanCodes: readonly number[]): void;
  /** Pictures of the screen, for guests with one, only when it changed. Returns how to stop listening. */
  onFrame?(listener: (frame: unknown) => void): () => void;
}

export interface OpenedGuest {
  readonly guest: Guest;
  readonly console: GuestConsole;
  /** Back and forth over what it did, where it can. */
  readonly steps?: Steps;
}

/** Which guest to open: a name that the composition root knows, and options for it. */
export interface GuestSpec {
  readonly name: string;
  readonly options?: Readonly<Record<string, string | number | boolean>>;
}

export type OpenGuest = (spec: GuestSpec) => Promise<OpenedGuest>;
type Listener<T> = ((value: T) => void) & ProxyMarked;

export interface GuestHostOptions {
  readonly openGuest: OpenGuest;
  readonly openKernels: () => Promise<Kernels>;
}

export class GuestHost {
  readonly #options: GuestHostOptions;
  #opened: OpenedGuest | null = null;
  /** The tracker of this worker, made when it is first asked for. */
  #tracker: Promise<Tracker> | null = null;
  /** Where the guest itself is served to a tracker in another worker. */
  #served: GuestServer | null = null;
  #stopped = false;

  constructor(options: GuestHostOptions) {
    this.#options = options;
  }

  async open(spec: GuestSpec): Promise<TrackerDescription> {
    if (this.#opened !== null) throw new VitrineError('wrong-state', { actual: 'open', required: 'new' });
    this.#opened = await this.#options.openGuest(spec);
    const { machine, regions, traits } = this.#opened.guest;
    const { tracking, trackingReason, trackingSource } = traits;
    const tierReason = trackingReason ?? trackingSource;
    const tier = tracking === 'none' ? 'scan' : tracking;
    return { machine, regions, traits, tier, ...(tierReason === undefined ? {} : { tierReason }) };
  }

  /** What another worker has to know to read the guest's memory; null where it is not shared. */
  offer(): GuestOffer | null {
    return offerOf(this.#guest.guest) ?? null;
  }

  /**
   * Serves the guest to an engine: its tracker, or with `track: 'engine'` the guest itself, whose memory has to be shared.
   * What an engine before it had left unfinished is given up.
   */
  async connect(port: MessagePort, track: 'engine' | 'guest'): Promise<void> {
    await this.disconnect();
    const { guest } = this.#guest;
    if (track === 'guest') {
      this.#tracker ??= openScanTracker(guest, { openKernels: this.#options.openKernels });
      exposeTracker(await this.#tracker, port);
      return;
    }
    // It would not hear of marks that the engine's tracker takes, nor must it take any: it serves no ring any longer, and is
    // made anew when it is wanted again.
    await (await this.#tracker)?.doorbell.stop();
    this.#tracker = null;
    this.#served = exposeGuest(guest, port);
  }

  /** The engine is gone: the guest must not stand still for it. */
  async disconnect(): Promise<void> {
    await this.#served?.release();
    this.#served = null;
    await (await this.#tracker)?.reset();
  }

  /** Serves the guest to an engine that verifies snapshots in it. */
  serveReplay(port: MessagePort): void {
    exposeReplayGuest(this.#guest.guest, port);
  }

  beginSteps(): Promise<void> {
    return this.#steps.begin();
  }

  holdSteps(): Promise<StepPlace> {
    return this.#steps.hold();
  }

  goToStep(steps: number): Promise<StepPlace> {
    return this.#steps.go(steps);
  }

  releaseSteps(): Promise<void> {
    return this.#steps.release();
  }

  write(text: string): void {
    this.#guest.console.write(text);
  }

  sendKeys(scanCodes: readonly number[]): void {
    this.#guest.console.sendKeys?.(scanCodes);
  }

  onOutput(listener: Listener<string>): (() => void) & ProxyMarked {
    return proxy(this.#guest.console.onOutput(batched(listener)));
  }

  onFrame(listener: Listener<unknown>): (() => void) & ProxyMarked {
    return proxy(this.#guest.console.onFrame?.(listener) ?? (() => {}));
  }

  /** Stops the guest, or lets it run. Saves and peeks work either way. */
  async setRunning(running: boolean): Promise<void> {
    const { guest } = this.#guest;
    if (running === !this.#stopped) return;
    this.#stopped = !running;
    if (running) await guest.resume();
    else await guest.pause();
  }

  async close(): Promise<void> {
    await this.#opened?.guest.close();
  }

  get #steps(): Steps {
    const { steps, guest } = this.#guest;
    if (steps === undefined)
      throw new VitrineError('unsupported', { missing: 'steps', kind: guest.machine.kind });
    return steps;
  }

  get #guest() {
    if (this.#opened === null) throw new VitrineError('wrong-state', { actual: 'closed', required: 'open' });
    return this.#opened;
  }
}

/** Output comes a byte at a time; it crosses once a task. */
function batched(listener: (text: string) => void): (text: string) => void {
  let waiting = '';
  return (text) => {
    if (waiting.length === 0) {
      setTimeout(() => {
        const all = waiting;
        waiting = '';
        listener(all);
      }, 0);
    }
    waiting += text;
  };
}
