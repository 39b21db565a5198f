// The mutable globals of an instance and the size of its memory, as bytes.
//
// The record `globals`, little-endian:
//
//   | Size | Field                                                     |
//   |------|-----------------------------------------------------------|
//   | 4    | memory size in pages of 64 KiB, 0 without a memory        |
//   | 4    | how many globals; then for each, in the module's order:   |
//   | 1    | type: 0 i32, 1 i64, 2 f32, 3 f64                          |
//   | 8    | value; i32 as its sign extends, f32 as the equal f64      |
//
// A NaN comes back as the platform's own: JavaScript does not show which one it was.

import type { OwnedBytes } from '../../base/bytes.ts';
import type { GlobalInternals } from './export-internals.ts';
import { RecordReader, RecordWriter } from './record-bytes.ts';

const TYPES = ['i32', 'i64', 'f32', 'f64'];

/** A validated record, ready to be applied. */
export interface PlannedGlobals {
  readonly memoryPages: number;
  readonly values: readonly (number | bigint)[];
}

export class GlobalState {
  readonly #globals: readonly { readonly global: WebAssembly.Global; readonly type: number }[];

  constructor(exports: WebAssembly.Exports, globals: readonly GlobalInternals[]) {
    // Safe: the names are those of the module's own globals; other types were refused when it was rewritten.
    this.#globals = globals.map(({ exportName, type }) => ({
      global: exports[exportName] as WebAssembly.Global,
      type: TYPES.indexOf(type),
    }));
  }

  save(memoryPages: number): OwnedBytes {
    const writer = new RecordWriter();
    writer.u32(memoryPages);
    writer.u32(this.#globals.length);
    for (const { global, type } of this.#globals) {
      writer.u8(type);
      if (type === 0) writer.i64(BigInt(global.value));
      else if (type === 1) writer.i64(global.value);
      else writer.f64(global.value);
    }
    return writer.finish();
  }

  /** Throws `guest-state-invalid`; nothing is changed. */
  plan(record: OwnedBytes, limits: { readonly minPages: number; readonly maxPages: number }): PlannedGlobals {
    const reader = new RecordReader('globals', record);
    const memoryPages = reader.u32();
    reader.require(memoryPages >= limits.minPages && memoryPages <= limits.maxPages, 'memory size');
    reader.require(reader.u32() === this.#globals.length, 'number of globals');
    const values = this.#globals.map(({ type }) => {
      reader.require(reader.u8() === type, 'type of a global');
      if (type === 1) return reader.i64();
      if (type === 0) {
        const value = reader.i64();
        reader.require(BigInt.asIntN(32, value) === value, 'value of an i32 global');
        return Number(value);
      }
      const value = reader.f64();
      reader.require(type === 3 || Object.is(Math.fround(value), value), 'value of an f32 global');
      return value;
    });
    reader.requireEnd();
    return { memoryPages, values };
  }

  apply(planned: PlannedGlobals): void {
    for (const [index, { global }] of this.#globals.entries()) global.value = planned.values[index];
  }
}
