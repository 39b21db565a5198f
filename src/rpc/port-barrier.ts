// The write barrier of a guest in another worker. Its states and its ring lie in shared memory, so that pages are released
// and old ones taken out here, without a message; opening, arming and closing are messages, and so are old pages that found
// the ring full. Those come over the port of the guest's calls, before the answer to any call that was made after them.

import { VitrineError } from '../base/error.ts';
import type { Barrier, BarrierFigures, RegionPageSink } from '../guest/barrier.ts';
import { BarrierBlock } from '../memory/barrier-block.ts';
import type { PageSet } from '../memory/page-set.ts';
import { SpillCredit } from '../memory/spill-credit.ts';
import type { ArmedBarrier, OpenBarrierCall, SpilledPage } from './guest-port.ts';

/** The calls that it makes, and how it comes at memory. */
export interface PortBarrierParts {
  readonly open: (call: OpenBarrierCall) => Promise<ArmedBarrier>;
  readonly arm: (awaited: readonly Uint32Array[]) => Promise<void>;
  readonly settle: () => Promise<void>;
  readonly close: () => Promise<void>;
  readonly view: (region: number) => Uint8Array;
  /** Whether all of a region is in shared memory. */
  readonly isShared: (region: number) => boolean;
  readonly pageBytes: (region: number) => number;
  /** Throws when the guest is gone. */
  readonly check: () => void;
  readonly onClose: () => void;
}

export class PortBarrier implements Barrier {
  /** Resolves when the guest has it: before it is paused to be armed. */
  readonly opened: Promise<void>;
  /** Resolves when it is armed: before the guest runs on. */
  armed: Promise<void> = Promise.resolve();
  covers: readonly boolean[] = [];
  ringBytes = 0;
  readonly #parts: PortBarrierParts;
  readonly #credit = new SpillCredit();
  #blocks: readonly (BarrierBlock | undefined)[] = [];
  #sink: RegionPageSink | undefined;
  #isClosed = false;
  #figures: BarrierFigures | undefined;
  #spilled = 0;
  #longestStallMs = 0;
  #totalStallMs = 0;

  constructor(parts: PortBarrierParts, ringBytes: number) {
    this.#parts = parts;
    this.opened = parts.open({ ringBytes, credit: this.#credit.buffer }).then(({ places, ringBytes }) => {
      this.#blocks = places.map((place) => (place === null ? undefined : BarrierBlock.attach(place)));
      this.covers = places.map((place, region) => place !== null && parts.isShared(region));
      this.ringBytes = ringBytes;
    });
    this.opened.catch(() => {});
  }

  arm(awaited: readonly PageSet[], sink: RegionPageSink): void {
    if (this.#sink !== undefined || this.#isClosed) {
      throw new VitrineError('wrong-state', { actual: 'armed or closed', required: 'open' });
    }
    this.#sink = sink;
    this.armed = this.#parts.arm(awaited.map(({ words }) => words));
    this.armed.catch(() => {});
  }

  view(region: number): Uint8Array {
    return this.#parts.view(region);
  }

  release(region: number, page: number): boolean {
    this.#check();
    return this.#blocks[region]?.claim(page) ?? false;
  }

  drain(maxPages: number): number {
    this.#check();
    const sink = this.#sink;
    if (sink === undefined) return 0;
    let drained = 0;
    for (const [region, block] of this.#blocks.entries()) {
      drained += block?.drain(maxPages - drained, (page, bytes) => sink(region, page, bytes)) ?? 0;
    }
    return drained;
  }

  settled(): Promise<void> {
    return this.#parts.settle();
  }

  /** An old page that the guest sent. */
  take({ region, page, bytes, stallMs }: SpilledPage): void {
    this.#credit.giveBack();
    this.#spilled++;
    this.#totalStallMs += stallMs;
    this.#longestStallMs = Math.max(this.#longestStallMs, stallMs);
    this.#sink?.(region, page, bytes);
  }

  figures(): BarrierFigures {
    if (this.#figures !== undefined) return this.#figures;
    const sum = (of: (block: BarrierBlock, region: number) => number) =>
      this.#blocks.reduce((total, block, region) => total + (block === undefined ? 0 : of(block, region)), 0);
    return {
      copiedAside: sum((block) => block.written) + this.#spilled,
      spilled: this.#spilled,
      peakRingBytes: sum((block, region) => block.peakPages * this.#parts.pageBytes(region)),
      longestStallMs: this.#longestStallMs,
      totalStallMs: this.#totalStallMs,
    };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#figures = this.figures();
    this.#isClosed = true;
    this.#sink = undefined;
    // The guest gives the memory of the blocks back: they are not to be touched any more. It hears of it only between two
    // slices, and shall not wait for us until then.
    this.#blocks = [];
    this.#credit.leaveAsSaver();
    this.#parts.close().catch(() => {});
    this.#parts.onClose();
  }

  /** The blocks are the guest's memory: they are left alone when it has let us go. */
  #check(): void {
    this.#parts.check();
    if (this.#credit.hasGuestLeft) throw new VitrineError('worker-lost', { reason: 'let go' });
  }
}
