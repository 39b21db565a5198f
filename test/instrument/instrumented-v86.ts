// v86 instrumented throughout: its program, and each module that it compiles while it runs. (The guest of `guest/v86` follows
// its writes in a cheaper way; here it is the largest program with code of its own making.)

import {
  armBarrier,
  clearMarks,
  disarmBarrier,
  guestBytesOf,
  type Instrumented,
  instrument,
  isDamaged,
  marksIn,
  runtimeInstrumenter,
} from '../../src/instrument/index.ts';

const FIRST_TABLE_PLACE = 1024;

export interface RuntimeFigures {
  modules: number;
  bytesIn: number;
  bytesOut: number;
  /** Milliseconds for each module. */
  times: number[];
}

export class InstrumentedV86 {
  readonly figures: RuntimeFigures = { modules: 0, bytesIn: 0, bytesOut: 0, times: [] };
  readonly #instrumented: Instrumented;
  #exports: WebAssembly.Exports | undefined;

  constructor(program: Uint8Array, kind: 'marks' | 'barriers', maxMemoryBytes: number) {
    this.#instrumented = instrument(program, {
      ...(kind === 'marks' ? { marks: true } : { barriers: true }),
      maxMemoryBytes,
    });
  }

  /** The `wasm_fn` of v86's options. */
  readonly wasmFn = async (imports: WebAssembly.Imports): Promise<WebAssembly.Exports> => {
    const runtime = runtimeInstrumenter(this.#instrumented);
    const table = imports.env?.__indirect_function_table as WebAssembly.Table;
    let given: WebAssembly.Imports | undefined;
    const codegen_finalize = (
      index: number,
      start: number,
      flags: number,
      address: number,
      length: number,
    ) => {
      const exports = this.exports as WebAssembly.Exports & {
        memory: WebAssembly.Memory;
        codegen_finalize_finished(index: number, start: number, flags: number): void;
      };
      given ??= { e: { ...exports, m: exports.memory }, ...runtime.imports(exports) } as WebAssembly.Imports;
      const code = new Uint8Array(exports.memory.buffer, address >>> 0, length >>> 0).slice();
      const startMs = performance.now();
      const rewritten = runtime.module(code);
      this.figures.times.push(performance.now() - startMs);
      this.figures.modules++;
      this.figures.bytesIn += code.length;
      this.figures.bytesOut += rewritten.length;
      void WebAssembly.instantiate(rewritten, given).then(({ instance }) => {
        table.set(index + FIRST_TABLE_PLACE, instance.exports.f);
        exports.codegen_finalize_finished(index, start, flags);
      });
    };
    const { instance } = await WebAssembly.instantiate(this.#instrumented.bytes, {
      ...imports,
      env: { ...imports.env, codegen_finalize },
    });
    this.#exports = instance.exports;
    clearMarks(this.memory.buffer, this.#instrumented.map);
    return instance.exports;
  };

  get exports(): WebAssembly.Exports {
    if (this.#exports === undefined) throw new Error('not started');
    return this.#exports;
  }

  get memory(): WebAssembly.Memory {
    return this.exports.memory as WebAssembly.Memory;
  }

  get map() {
    return this.#instrumented.map;
  }

  get isDamaged(): boolean {
    return isDamaged(this.memory.buffer, this.map);
  }

  /** The program's whole memory. */
  image(): Uint8Array {
    const { buffer } = this.memory;
    return new Uint8Array(buffer, 0, guestBytesOf(buffer, this.map)).slice();
  }

  takeMarks(): Uint8Array {
    const marks = marksIn(this.memory.buffer, this.map);
    clearMarks(this.memory.buffer, this.map);
    return marks;
  }

  /** Copies aside what is about to be written; the result are those pages. */
  arm(): Map<number, Uint8Array> {
    const aside = new Map<number, Uint8Array>();
    const { pageBytes } = this.map;
    armBarrier(this.exports, this.memory, this.map, (page) => {
      aside.set(page, new Uint8Array(this.memory.buffer, page * pageBytes, pageBytes).slice());
    });
    return aside;
  }

  disarm(): void {
    disarmBarrier(this.exports);
  }
}
