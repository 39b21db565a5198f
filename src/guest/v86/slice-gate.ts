// Holds v86 between two of its slices. v86 runs for up to a frame at a time and then yields; while it has yielded no
// code of the guest is on the stack, so it can be held at once by not letting the next slice begin.
//
// v86's own stop waits for its timer instead (up to 100 ms when the guest sleeps) and tells the world that the machine
// was stopped; the gate does neither. Whatever wants a slice while it is shut — an interrupt raised by input, a call of
// `run` — waits until it opens.

import type { V86Core } from './v86-internals.ts';

export interface SliceListener {
  /** A slice begins now. */
  onSlice(): void;
  /** A slice has ended; no code of the guest is on the stack. */
  onSliceEnd(): void;
  /** The emulator itself threw in a slice; the machine is stopped. */
  onFailure(cause: unknown): void;
}

export class SliceGate {
  readonly #core: V86Core;
  readonly #tick: () => void;
  readonly #listener: SliceListener;
  #shut = false;
  #inSlice = false;
  #sliceEnded: (() => void)[] = [];

  constructor(core: V86Core, listener: SliceListener) {
    this.#core = core;
    this.#tick = core.do_tick;
    this.#listener = listener;
    core.do_tick = () => this.#slice();
  }

  /** Resolves when no slice runs; none begins until `open`. */
  async shut(): Promise<void> {
    this.#shut = true;
    if (this.#inSlice) await new Promise<void>((resolve) => this.#sliceEnded.push(resolve));
  }

  /** As `shut`, at once; false when a slice runs. Slices that run then are held all the same until `open`. */
  shutNow(): boolean {
    this.#shut = true;
    return !this.#inSlice;
  }

  /** Lets slices begin again; the next one at once, since the timer of the last one may be stale by now. */
  open(): void {
    this.#shut = false;
    if (this.#core.running) this.#core.next_tick(0);
  }

  /** Makes a running machine's next slice begin soon, also where it sleeps. */
  nudge(): void {
    if (!this.#shut && !this.#inSlice && this.#core.running) this.#core.next_tick(0);
  }

  /** Gives the emulator its own function back. */
  remove(): void {
    this.#core.do_tick = this.#tick;
    this.open();
  }

  #slice(): void {
    // A machine that is being stopped runs no slice: v86 only says so.
    if (this.#shut && this.#core.running && !this.#core.stopping) return;
    this.#inSlice = true;
    try {
      this.#listener.onSlice();
      this.#tick.call(this.#core);
    } catch (cause) {
      this.#core.running = false;
      this.#listener.onFailure(cause);
    } finally {
      this.#inSlice = false;
      for (const resolve of this.#sliceEnded.splice(0)) resolve();
    }
    this.#listener.onSliceEnd();
  }
}
