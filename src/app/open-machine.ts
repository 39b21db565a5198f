// One guest that the page has open: its worker, its place under the engine, and what a person sees of it.
//
// The guest runs as soon as its worker has it, before the engine is there: `joined` resolves when it can be saved.

import type { VitrineError } from '../base/error.ts';
import type { SnapshotId } from '../engine/snapshot.ts';
import type { ScreenFrame } from '../guest/v86/screen-frame.ts';
import type { EngineClient, MachineClient } from '../rpc/engine-client.ts';
import { type GuestClient, startGuest } from '../rpc/guest-client.ts';
import type { CatalogEntry } from './guests/catalog.ts';
import type { Job } from './job.ts';
import { remarkLine } from './remark-line.ts';
import { Signal } from './signal.ts';

/** Characters of output kept for a terminal that is shown later. */
const MAX_BACKLOG = 200_000;

/** Starts a guest in a worker of that name; with `deterministic` one that does the same again. Throws what `startGuest` throws. */
export async function startGuestOf(
  entry: CatalogEntry,
  name: string,
  { deterministic = false }: { readonly deterministic?: boolean } = {},
): Promise<GuestClient> {
  const worker = new Worker(new URL('../../workers/guest.ts', import.meta.url), { type: 'module', name });
  const images = entry.images === undefined ? {} : { images: new URL(entry.images, document.baseURI).href };
  return startGuest(worker, { name: entry.name, options: { ...images, deterministic } });
}

export class OpenMachine {
  readonly name: string;
  readonly entry: CatalogEntry;
  readonly guest: GuestClient;
  /** The snapshot it goes on from. */
  readonly base = new Signal<SnapshotId | null>(null);
  readonly isRunning = new Signal(true);
  /** Why its worker is gone. */
  readonly lost = new Signal<VitrineError | null>(null);
  /** The save, restore or comparison under way. */
  readonly job = new Signal<Job | null>(null);
  /** When what it holds was last in a snapshot, or when it was opened; by `performance.now()`. */
  settledAtMs = performance.now();
  #machine!: Promise<MachineClient>;
  /** Settles `#machine` as another promise does, for those who asked before there was an engine. */
  #settle!: (joining: Promise<MachineClient>) => void;
  #output = '';
  #onOutput: ((text: string) => void) | null = null;
  #frame: ScreenFrame | null = null;
  #onFrame: ((frame: ScreenFrame) => void) | null = null;

  private constructor(name: string, entry: CatalogEntry, guest: GuestClient) {
    this.name = name;
    this.entry = entry;
    this.guest = guest;
    this.leave();
  }

  /** Opens the guest in a worker of its own. Throws what `startGuest` throws. */
  static async open(name: string, entry: CatalogEntry): Promise<OpenMachine> {
    const opened = new OpenMachine(name, entry, await startGuestOf(entry, name));
    void opened.guest.lost.then((reason) => opened.lost.set(reason));
    await opened.guest.onOutput((text) => opened.#takeOutput(text));
    if (entry.hasScreen) await opened.guest.onFrame((frame) => opened.#takeFrame(frame as ScreenFrame));
    return opened;
  }

  /** Puts it under an engine, a new one after the old one was lost. */
  async join(engine: EngineClient): Promise<void> {
    // Memory that is shared is compared in the engine's worker, so that saves take little of the guest's own time.
    this.#settle(this.guest.join(engine, this.name, { track: 'engine' }));
    await this.#machine;
    this.base.set(null);
  }

  /** Waits for an engine: there is none yet, or it was lost. */
  leave(): void {
    this.#machine = new Promise((settle) => {
      this.#settle = settle;
    });
    // Whoever uses the machine sees the failure; nobody may.
    this.#machine.catch(() => {});
  }

  /** The machine under the engine, once it is there: the one that comes, where there is none. */
  get joined(): Promise<MachineClient> {
    return this.#machine;
  }

  /** What the guest wrote so far goes to `listener`, and all it writes from now on. One listener at a time. */
  showOutput(listener: (text: string) => void): void {
    this.#onOutput = listener;
    listener(this.#output);
  }

  /** The latest picture of its screen goes to `listener`, and all later ones; each is the listener's own. One at a time. */
  showFrames(listener: (frame: ScreenFrame) => void): void {
    this.#onFrame = listener;
    if (this.#frame !== null) this.#takeFrame(this.#frame);
  }

  /** Puts a line of the page's own between the guest's output; the machine knows nothing of it. */
  remark(text: string): void {
    this.#takeOutput(remarkLine(text));
  }

  /** A page's typing. Lost workers take none. */
  write(text: string): void {
    if (this.lost.value === null) void this.guest.write(text).catch(() => {});
  }

  sendKeys(scanCodes: readonly number[]): void {
    if (this.lost.value === null) void this.guest.sendKeys(scanCodes).catch(() => {});
  }

  async setRunning(running: boolean): Promise<void> {
    await this.guest.setRunning(running);
    this.isRunning.set(running);
  }

  /** What it holds is in `snapshot` now. */
  settleAt(snapshot: SnapshotId): void {
    this.settledAtMs = performance.now();
    this.base.set(snapshot);
  }

  async close(): Promise<void> {
    if (this.lost.value === null) await this.guest.close();
  }

  #takeOutput(text: string): void {
    this.#output = (this.#output + text).slice(-MAX_BACKLOG);
    this.#onOutput?.(text);
  }

  #takeFrame(frame: ScreenFrame): void {
    this.#frame = this.#onFrame === null ? frame : null;
    this.#onFrame?.(frame);
  }
}
