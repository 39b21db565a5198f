// The write barrier of v86's RAM. Its block lies in the program's own memory, where the code of `barrier-code.ts` fills the
// ring; a page that finds no room comes here by a call out of the guest's instruction.
//
// Memory that grows for a block stays grown: a program's memory cannot shrink. It is used again by the next one.

import { VitrineError } from '../../base/error.ts';
import {
  BarrierBlock,
  type BarrierPlace,
  type BarrierShape,
  barrierBlockBytes,
  slotsIn,
} from '../../memory/barrier-block.ts';
import type { PageSet } from '../../memory/page-set.ts';
import { pageCountOf, type Region } from '../../memory/region.ts';
import type { BarrierFigures, BarrierOptions, RegionPageSink } from '../barrier.ts';
import type { V86Cpu } from './v86-internals.ts';

/** What the rewritten program exports for it, beside v86's own. */
export interface BarrierExports {
  readonly block: WebAssembly.Global;
  readonly spill: WebAssembly.Table;
  readonly allocate: (bytes: number) => number;
  readonly free: (address: number) => void;
}

/** v86's allocator answers to more with a trap. */
const MAX_BLOCK_BYTES = 0x7fff_0000;

export class RamBarrier {
  readonly #cpu: V86Cpu;
  readonly #exports: BarrierExports;
  readonly #ram: Region;
  readonly #options: BarrierOptions;
  readonly #allocated: number;
  readonly #at: number;
  readonly #block: BarrierBlock;
  #figures: BarrierFigures | undefined;
  #spilled = 0;
  #longestStallMs = 0;
  #totalStallMs = 0;

  /** Throws `memory-exhausted` when there is no memory even without a ring. */
  constructor(cpu: V86Cpu, exports: BarrierExports, ram: Region, options: BarrierOptions) {
    this.#cpu = cpu;
    this.#exports = exports;
    this.#ram = ram;
    this.#options = options;
    const { address, shape } = allocate(exports, ram, options.ringBytes);
    this.#allocated = address;
    this.#at = Math.ceil(address / ALIGN_BYTES) * ALIGN_BYTES;
    this.#block = new BarrierBlock(cpu.wasm_memory, this.#at, shape);
  }

  get ringBytes(): number {
    return this.#block.ringBytes;
  }

  /** Where its block lies for other threads; undefined where v86's memory is not shared. */
  get place(): BarrierPlace | undefined {
    return this.#block.place;
  }

  arm(awaited: PageSet, sink: RegionPageSink): void {
    this.#block.await(awaited);
    this.#exports.spill.set(
      0,
      asProgramFunction((page) => this.#spill(page, sink)),
    );
    this.#exports.block.value = this.#at | 0;
    // What is writable in the TLB already would not come by.
    this.#cpu.full_clear_tlb();
  }

  release(page: number): boolean {
    return this.#block.claim(page);
  }

  drain(maxPages: number, sink: RegionPageSink): number {
    return this.#block.drain(maxPages, (page, bytes) => sink(this.#ram.id, page, bytes));
  }

  figures(): BarrierFigures {
    return (
      this.#figures ?? {
        copiedAside: this.#block.written + this.#spilled,
        spilled: this.#spilled,
        peakRingBytes: this.#block.peakPages * this.#ram.pageBytes,
        longestStallMs: this.#longestStallMs,
        totalStallMs: this.#totalStallMs,
      }
    );
  }

  close(): void {
    if (this.#figures !== undefined) return;
    this.#figures = this.figures();
    this.#exports.block.value = 0;
    this.#exports.spill.set(0, null);
    this.#exports.free(this.#allocated);
  }

  #spill(page: number, sink: RegionPageSink): void {
    const { clock } = this.#options;
    const startMs = clock.nowMs();
    const { wasm_memory: memory, mem8 } = this.#cpu;
    const { id, pageBytes } = this.#ram;
    sink(id, page, new Uint8Array(memory.buffer, mem8.byteOffset + page * pageBytes, pageBytes));
    this.#spilled++;
    const stallMs = clock.nowMs() - startMs;
    this.#totalStallMs += stallMs;
    this.#longestStallMs = Math.max(this.#longestStallMs, stallMs);
  }
}

/** Blocks start at a multiple of this; v86's allocator gives multiples of 4. */
const ALIGN_BYTES = 64;

/** The largest ring that there is memory for, at most as large as wanted. */
function allocate(
  exports: BarrierExports,
  ram: Region,
  ringBytes: number,
): { readonly address: number; readonly shape: BarrierShape } {
  const { pageBytes } = ram;
  const pageCount = pageCountOf(ram);
  for (let slotCount = slotsIn(ringBytes, pageBytes, pageCount); ; slotCount = Math.floor(slotCount / 2)) {
    const shape = { pageCount, pageBytes, slotCount };
    const bytes = barrierBlockBytes(shape) + ALIGN_BYTES;
    const address = bytes <= MAX_BLOCK_BYTES ? exports.allocate(bytes) >>> 0 : 0;
    if (address !== 0) return { address, shape };
    if (slotCount === 0) throw new VitrineError('memory-exhausted', { lengthBytes: bytes });
  }
}

/**
 * A function that a program's table takes: it wants one of a program, so a small program imports ours and exports it again.
 *
 *   (module (type (func (param i32))) (import "v" "f" (func (type 0))) (export "f" (func 0)))
 */
function asProgramFunction(call: (page: number) => void): unknown {
  relay ??= new WebAssembly.Module(
    Uint8Array.of(
      ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      ...[0x01, 0x05, 0x01, 0x60, 0x01, 0x7f, 0x00],
      ...[0x02, 0x07, 0x01, 0x01, 0x76, 0x01, 0x66, 0x00, 0x00],
      ...[0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00],
    ),
  );
  return new WebAssembly.Instance(relay, { v: { f: call } }).exports.f;
}
let relay: WebAssembly.Module | undefined;
