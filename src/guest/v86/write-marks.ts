// Which pages of RAM a v86 machine wrote since they were last taken. Its program, rewritten by `track-program.ts`, sets
// a byte of a map in its own memory when a page becomes writable; a take reads the map, clears it and empties the TLB,
// so that the next write to each page goes through the hook again.
//
// Writers in JavaScript nearly all end in `write_blob` or in the program's own writes, which the hook sees. The others
// are overridden here, on the instance: `zero_memory`, which v86's `restore_state` begins with and the balloon uses;
// `reset_memory`; and the copy of the BIOS below 4 GiB, through which a guest can write its first megabyte. They call the
// hook before they write, since a barrier may want what is there.
// A page that an embedder writes in `read_memory`'s view is not seen.

import { PageSet } from '../../memory/page-set.ts';
import { addMarked } from './mark-bytes.ts';
import type { BarrierExports } from './ram-barrier.ts';
import { BARRIER_EXPORTS, MARK_GLOBALS } from './track-program.ts';
import type { V86Cpu } from './v86-internals.ts';

const PAGE_BYTES = 4096;
const PAGE_BITS = 12;

/** Where the first megabyte is seen a second time, and the size of the blocks that v86 dispatches such addresses by. */
const ALIAS = { start: 0xfff0_0000, sizeBytes: 0x10_0000, blockBits: 17 } as const;

/** What the rewritten program exports beside its own. */
interface MarkExports extends BarrierExports {
  readonly map: WebAssembly.Global;
  readonly first: WebAssembly.Global;
  readonly count: WebAssembly.Global;
  /** Marks a page, and copies it aside where a barrier awaits it. */
  readonly before: (page: number) => void;
}

export class WriteMarks {
  readonly #cpu: V86Cpu;
  readonly exports: MarkExports;
  readonly #pageCount: number;
  readonly #mapAddress: number;
  readonly #remove: () => void;
  /** Marks that are not in the map: at first all pages, later those that were put back. */
  #beside: PageSet;

  private constructor(cpu: V86Cpu, exports: MarkExports) {
    this.#cpu = cpu;
    this.exports = exports;
    this.#pageCount = Math.ceil(cpu.mem8.length / PAGE_BYTES);
    this.#beside = PageSet.all(this.#pageCount);
    this.#remove = this.#overrideWriters();
    this.#mapAddress = exports.allocate(this.#pageCount) >>> 0;
    this.#map().fill(0);
    exports.map.value = this.#mapAddress | 0;
    exports.first.value = cpu.mem8.byteOffset >>> PAGE_BITS;
    exports.count.value = this.#pageCount;
    cpu.full_clear_tlb();
  }

  /** Arms the marks of a machine, or says why it has none. Every page is marked at first. */
  static arm(cpu: V86Cpu): WriteMarks | { readonly untracked: string } {
    const exports = cpu.wm.exports as unknown as Readonly<Record<string, unknown>>;
    const [map, first, count] = [MARK_GLOBALS.mapAddress, MARK_GLOBALS.firstPage, MARK_GLOBALS.pageCount].map(
      (name) => exports[name],
    );
    const { v86_malloc: allocate, v86_free: free } = exports;
    const [block, spill, before] = [BARRIER_EXPORTS.block, BARRIER_EXPORTS.spill, BARRIER_EXPORTS.before].map(
      (name) => exports[name],
    );
    if (!isGlobal(map) || !isGlobal(first) || !isGlobal(count)) {
      return { untracked: 'v86 was not instantiated by trackedWasmFn' };
    }
    if (typeof allocate !== 'function' || typeof free !== 'function') {
      return { untracked: 'v86: v86_malloc, v86_free' };
    }
    for (const name of WRITERS) {
      if (typeof cpu[name] !== 'function') return { untracked: `v86: cpu.${name}` };
    }
    if (!Array.isArray(cpu.memory_map_write8)) return { untracked: 'v86: cpu.memory_map_write8' };
    if (cpu.mem8.byteOffset % PAGE_BYTES !== 0) return { untracked: 'v86: RAM at no page boundary' };
    // Two guests of one emulator would clear each other's map.
    if (count.value !== 0) return { untracked: 'its marks are in use' };
    // Safe: the names of `MARK_GLOBALS` and `BARRIER_EXPORTS` are ours and come together; the two functions were looked at.
    return new WriteMarks(cpu, { map, first, count, allocate, free, block, spill, before } as MarkExports);
  }

  /** All pages marked since the last take; none is marked afterwards. The machine is at rest. */
  take(): PageSet {
    const taken = this.#beside;
    this.#beside = new PageSet(this.#pageCount);
    addMarked(this.#map(), taken);
    this.#map().fill(0);
    this.#cpu.full_clear_tlb();
    return taken;
  }

  /** These bytes are about to be written from outside the program; what of them is no RAM does not matter. */
  before(address: number, sizeBytes: number): void {
    if (sizeBytes === 0) return;
    const last = Math.min(Math.floor((address + sizeBytes - 1) / PAGE_BYTES), this.#pageCount - 1);
    for (let page = Math.floor(address / PAGE_BYTES); page <= last; page++) this.exports.before(page);
  }

  /** Marks pages again. */
  putBack(pages: PageSet): void {
    this.#beside.addAll(pages);
  }

  /** Disarms; the emulator gets its functions and memory back. */
  remove(): void {
    this.exports.count.value = 0;
    this.exports.free(this.#mapAddress);
    this.#remove();
  }

  /** Built at each call: memory that grows leaves older views empty. */
  #map(): Uint8Array {
    return new Uint8Array(this.#cpu.wasm_memory.buffer, this.#mapAddress, this.#pageCount);
  }

  #overrideWriters(): () => void {
    const cpu = this.#cpu;
    const { reset_memory, zero_memory, load_bios } = cpu;
    cpu.reset_memory = () => {
      this.before(0, cpu.mem8.length);
      reset_memory.call(cpu);
    };
    cpu.zero_memory = (address, sizeBytes) => {
      this.before(address >>> 0, sizeBytes >>> 0);
      zero_memory.call(cpu, address, sizeBytes);
    };
    // A reboot loads the BIOS anew and registers its handlers again.
    cpu.load_bios = () => {
      load_bios.call(cpu);
      this.#overrideAlias();
    };
    const removeAlias = this.#overrideAlias();
    return () => {
      Object.assign(cpu, { reset_memory, zero_memory, load_bios });
      removeAlias();
    };
  }

  #overrideAlias(): () => void {
    const handlers = this.#cpu.memory_map_write8;
    const first = ALIAS.start >>> ALIAS.blockBits;
    const end = first + (ALIAS.sizeBytes >>> ALIAS.blockBits);
    const before = handlers.slice(first, end);
    for (const [index, write] of before.entries()) {
      handlers[first + index] = (address, value) => {
        this.before(address & (ALIAS.sizeBytes - 1), 1);
        write(address, value);
      };
    }
    return () => {
      for (const [index, write] of before.entries()) handlers[first + index] = write;
    };
  }
}

/** Functions that write RAM from JavaScript without a word to the program. */
const WRITERS = ['reset_memory', 'zero_memory', 'load_bios'] as const;

function isGlobal(value: unknown): value is WebAssembly.Global {
  return value instanceof WebAssembly.Global;
}
