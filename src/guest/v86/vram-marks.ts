// Which pages of its linear video memory a v86 machine wrote since they were last taken. A text console and the old graphics
// modes lie elsewhere (`vga.planes`), so most machines write none.
//
//   writer                                             known by
//   the processor, at 0xe0000000                       the hook in `do_page_walk`, as for RAM: a byte a page in a map
//   a mode that is set, which clears all               the VGA's port for it, overridden here
//   devices that write where the guest says (`cpu.write8` …), banked modes among them   overridden here, on the instance
//   v86's `restore_state`                              `cpu.set_state`, likewise; its pixels come empty from `device-state.ts`
//
// Nothing is put on the VGA itself, which v86's code reads for each character: it keeps the shape that code was compiled for.

import { PageSet } from '../../memory/page-set.ts';
import { MARK_GLOBALS } from './track-program.ts';
import type { V86Cpu } from './v86-internals.ts';

const PAGE_BYTES = 4096;
const FRAME_BUFFER = 0xe000_0000;
/** Where v86's state has the VGA's, and that has this memory. */
const STATE_AT = { vga: 52, pixels: 39 } as const;
/** The Bochs VBE ports: an index, 4 for the mode, and its value: bit 0 on, bit 7 without clearing. */
const VBE = { valuePort: 0x1cf, modeIndex: 4, clears: 0x81, on: 1 } as const;
const WRITERS = ['write8', 'write16', 'write32'] as const;

type Write = (address: number, value: number) => void;
/** Of the processor and its VGA, what is overridden here. */
type WriterCpu = { [name in (typeof WRITERS)[number]]: Write } & {
  set_state: (state: unknown[]) => void;
  readonly io: { readonly ports: readonly (Port | undefined)[] };
};
interface Port {
  write16(value: number): void;
}
interface Vga {
  readonly dispi_index: number;
  readonly vga_memory_size: number;
}

/** What the rewritten program exports for it. */
interface VramExports {
  readonly map: WebAssembly.Global;
  readonly pages: WebAssembly.Global;
  readonly allocate: (bytes: number) => number;
  readonly free: (address: number) => void;
}

export class VramMarks {
  readonly #cpu: V86Cpu;
  readonly #vga: Vga;
  readonly #exports: VramExports;
  readonly #pageCount: number;
  readonly #mapAddress: number;
  readonly #remove: () => void;

  private constructor(cpu: V86Cpu, exports: VramExports) {
    this.#cpu = cpu;
    // Safe: `arm` looked at it, and at the functions below.
    this.#vga = cpu.devices.vga as unknown as Vga;
    this.#exports = exports;
    this.#pageCount = Math.ceil(this.#vga.vga_memory_size / PAGE_BYTES);
    const writers = cpu as unknown as WriterCpu;
    const undo = [this.#watchMode(writers), this.#watchState(writers), this.#watchWriters(writers)];
    this.#remove = () => {
      for (const one of undo) one();
    };
    this.#mapAddress = exports.allocate(this.#pageCount) >>> 0;
    this.touch(0, this.#vga.vga_memory_size);
    exports.map.value = this.#mapAddress | 0;
    exports.pages.value = this.#pageCount;
  }

  /** Undefined where something of v86 is not as it was: its video memory is then compared each time. The TLB is empty. */
  static arm(cpu: V86Cpu): VramMarks | undefined {
    const exports = cpu.wm.exports as unknown as Readonly<Record<string, unknown>>;
    const { v86_malloc: allocate, v86_free: free } = exports;
    const [map, pages] = [exports[MARK_GLOBALS.vramMap], exports[MARK_GLOBALS.vramPages]];
    const vga = cpu.devices.vga as unknown as Partial<Vga>;
    const writers = cpu as unknown as Partial<WriterCpu>;
    const isKnown =
      typeof allocate === 'function' &&
      typeof free === 'function' &&
      map instanceof WebAssembly.Global &&
      pages instanceof WebAssembly.Global &&
      typeof vga.dispi_index === 'number' &&
      typeof writers.io?.ports?.[VBE.valuePort]?.write16 === 'function' &&
      typeof vga.vga_memory_size === 'number' &&
      typeof writers.set_state === 'function' &&
      WRITERS.every((name) => typeof writers[name] === 'function');
    // Safe: each was looked at.
    return isKnown ? new VramMarks(cpu, { map, pages, allocate, free } as VramExports) : undefined;
  }

  /** All pages marked since the last take; none is marked afterwards. The TLB is emptied then, too. */
  take(): PageSet {
    const taken = new PageSet(this.#pageCount);
    const map = this.#map();
    for (let page = map.indexOf(1); page >= 0; page = map.indexOf(1, page + 1)) taken.add(page);
    map.fill(0);
    return taken;
  }

  /** These bytes of it are about to be written from outside of the machine; what of them is past its end does not matter. */
  touch(offsetBytes: number, lengthBytes: number): void {
    if (lengthBytes === 0) return;
    const end = Math.floor((offsetBytes + lengthBytes - 1) / PAGE_BYTES) + 1;
    this.#map().fill(1, Math.floor(offsetBytes / PAGE_BYTES), end);
  }

  /** Marks pages again. */
  putBack(pages: PageSet): void {
    const map = this.#map();
    for (const page of pages) map[page] = 1;
  }

  /** The emulator gets its functions and memory back. */
  remove(): void {
    this.#exports.pages.value = 0;
    this.#exports.free(this.#mapAddress);
    this.#remove();
  }

  /** Built at each call: memory that grows leaves older views empty. */
  #map(): Uint8Array {
    return new Uint8Array(this.#cpu.wasm_memory.buffer, this.#mapAddress, this.#pageCount);
  }

  /** A mode that is set clears the memory, unless it is told not to. */
  #watchMode({ io }: WriterCpu): () => void {
    const vga = this.#vga;
    // Safe: `arm` looked at it.
    const port = io.ports[VBE.valuePort]!;
    const { write16 } = port;
    const touchAll = (): void => this.touch(0, vga.vga_memory_size);
    port.write16 = function (value) {
      write16.call(this, value);
      // Also of a mode that is then refused for its size.
      if (vga.dispi_index === VBE.modeIndex && (value & VBE.clears) === VBE.on) touchAll();
    };
    return () => {
      port.write16 = write16;
    };
  }

  #watchState(cpu: WriterCpu): () => void {
    const { set_state } = cpu;
    cpu.set_state = (state) => {
      const ofVga = state[STATE_AT.vga] as readonly { readonly length: number }[] | undefined;
      // A state may pass the VGA over.
      if (ofVga) this.touch(0, ofVga[STATE_AT.pixels]?.length ?? this.#vga.vga_memory_size);
      set_state.call(cpu, state);
    };
    return () => {
      cpu.set_state = set_state;
    };
  }

  #watchWriters(cpu: WriterCpu): () => void {
    const before = WRITERS.map((name) => [name, cpu[name]] as const);
    for (const [name, write] of before) {
      cpu[name] = (address, value) => {
        // The widest of them; a page too many costs a look.
        if (address >>> 0 >= FRAME_BUFFER) this.touch((address >>> 0) - FRAME_BUFFER, 4);
        write(address, value);
      };
    }
    return () => Object.assign(cpu, Object.fromEntries(before));
  }
}
