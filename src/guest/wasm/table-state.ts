// What stands in the tables of an instance, as bytes. A function has no number that JavaScript can see; it is named by
// a place where a fresh instance of the same module has it: a table slot, or an export. Host values are kept where
// they are plain (wasm-bindgen keeps undefined, null, true and false in a table); objects cannot be.
//
// The record `tables`, little-endian:
//
//   | Size | Field                                                             |
//   |------|-------------------------------------------------------------------|
//   | 4    | how many tables; then for each:                                   |
//   | 4    | its length                                                        |
//   | 4    | how many slots differ from a fresh instance; then for each:       |
//   | 4    | slot, ascending                                                   |
//   | 1    | kind, and what it brings: null, undefined, false, true: nothing;  |
//   |      | slot of a fresh instance: table (4), slot (4); export: index (4); |
//   |      | number: float64 (8)                                               |
//
// A table cannot shrink: after a restore to a shorter one, the slots past its length are null.

import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import type { TableInternals } from './export-internals.ts';
import { Extent } from './extent.ts';
import { RecordReader, RecordWriter } from './record-bytes.ts';

const KIND = { null: 0, undefined: 1, false: 2, true: 3, slot: 4, export: 5, number: 6 } as const;

/** What the tables of a fresh instance hold. Taken before the loader sees the instance. */
export type FreshTables = readonly (readonly unknown[])[];

export function takeFreshTables(
  exports: WebAssembly.Exports,
  tables: readonly TableInternals[],
): FreshTables {
  return tables.map(({ exportName }) => valuesOf(exports[exportName] as WebAssembly.Table));
}

/** One table, validated, ready to be applied: its length, and the slots that differ from a fresh instance. */
interface PlannedTable {
  readonly length: number;
  readonly changed: ReadonlyMap<number, unknown>;
}

export class TableState {
  readonly #tables: readonly {
    readonly table: WebAssembly.Table;
    readonly extent: Extent;
    readonly maxSlots: number;
  }[];
  readonly #fresh: FreshTables;
  readonly #functions: readonly unknown[];
  /** Where a fresh instance has a function. */
  readonly #placeOf = new Map<unknown, { readonly kind: number; readonly at: readonly number[] }>();

  constructor(exports: WebAssembly.Exports, tables: readonly TableInternals[], fresh: FreshTables) {
    // Safe: the names are those of the module's own tables.
    this.#tables = tables.map(({ exportName, maxSlots }) => ({
      table: exports[exportName] as WebAssembly.Table,
      extent: new Extent(),
      maxSlots,
    }));
    this.#fresh = fresh;
    this.#functions = Object.keys(exports)
      .sort()
      .map((name) => exports[name])
      .filter((value) => typeof value === 'function');
    for (const [index, value] of this.#functions.entries()) {
      this.#placeOf.set(value, { kind: KIND.export, at: [index] });
    }
    for (const [table, values] of fresh.entries()) {
      for (const [slot, value] of values.entries()) {
        if (typeof value !== 'function') continue;
        this.#placeOf.set(value, { kind: KIND.slot, at: [table, slot] });
      }
    }
  }

  /** Throws `unsupported` when a slot holds a function of another instance or a host object. */
  save(): OwnedBytes {
    const writer = new RecordWriter();
    writer.u32(this.#tables.length);
    for (const [index, { table, extent }] of this.#tables.entries()) {
      const length = extent.size(table.length);
      const changed: number[] = [];
      for (let slot = 0; slot < length; slot++) {
        if (!Object.is(table.get(slot), this.#freshValue(index, slot))) changed.push(slot);
      }
      writer.u32(length);
      writer.u32(changed.length);
      for (const slot of changed) {
        writer.u32(slot);
        this.#writeValue(writer, table.get(slot), { table: index, slot });
      }
    }
    return writer.finish();
  }

  /** Throws `guest-state-invalid`; nothing is changed. */
  plan(record: OwnedBytes): readonly PlannedTable[] {
    const reader = new RecordReader('tables', record);
    reader.require(reader.u32() === this.#tables.length, 'number of tables');
    const planned = this.#tables.map(({ maxSlots }, index) => {
      const length = reader.u32();
      reader.require(length >= this.#fresh[index]!.length && length <= maxSlots, 'table length');
      const changed = new Map<number, unknown>();
      let least = 0;
      for (let left = reader.u32(); left > 0; left--) {
        const slot = reader.u32();
        reader.require(slot >= least && slot < length, 'slot');
        least = slot + 1;
        changed.set(slot, this.#readValue(reader));
      }
      return { length, changed };
    });
    reader.requireEnd();
    return planned;
  }

  /** Fails only when the platform gives a table no more slots: call `grow` first. */
  apply(planned: readonly PlannedTable[]): void {
    for (const [index, { table, extent }] of this.#tables.entries()) {
      const { length, changed } = planned[index]!;
      for (let slot = 0; slot < table.length; slot++) {
        const value = changed.has(slot) ? changed.get(slot) : this.#freshValue(index, slot);
        if (!Object.is(table.get(slot), value)) table.set(slot, value);
      }
      extent.restored(length, table.length);
    }
  }

  /** Makes room for what was planned. Throws `memory-exhausted`. */
  grow(planned: readonly PlannedTable[]): void {
    for (const [index, { table }] of this.#tables.entries()) {
      const missing = planned[index]!.length - table.length;
      if (missing > 0) growTable(table, missing);
    }
  }

  /** The program runs: sizes are those it sees. */
  forgetExtents(): void {
    for (const { extent } of this.#tables) extent.forget();
  }

  #freshValue(table: number, slot: number): unknown {
    const values = this.#fresh[table]!;
    return slot < values.length ? values[slot] : null;
  }

  #writeValue(writer: RecordWriter, value: unknown, where: { table: number; slot: number }): void {
    const place = this.#placeOf.get(value);
    if (place !== undefined) {
      writer.u8(place.kind);
      for (const number of place.at) writer.u32(number);
    } else if (value === null) writer.u8(KIND.null);
    else if (value === undefined) writer.u8(KIND.undefined);
    else if (typeof value === 'boolean') writer.u8(value ? KIND.true : KIND.false);
    else if (typeof value === 'number') {
      writer.u8(KIND.number);
      writer.f64(value);
    } else {
      throw new VitrineError('unsupported', {
        missing: `a ${typeof value} of the host in a table`,
        ...where,
      });
    }
  }

  #readValue(reader: RecordReader): unknown {
    const kind = reader.u8();
    switch (kind) {
      case KIND.null:
        return null;
      case KIND.undefined:
        return undefined;
      case KIND.false:
        return false;
      case KIND.true:
        return true;
      case KIND.number:
        return reader.f64();
      case KIND.export: {
        const index = reader.u32();
        reader.require(index < this.#functions.length, 'export');
        return this.#functions[index];
      }
      case KIND.slot: {
        const value = this.#fresh[reader.u32()]?.[reader.u32()];
        reader.require(typeof value === 'function', 'fresh slot');
        return value;
      }
      default:
        return reader.refuse('kind of value');
    }
  }
}

function valuesOf(table: WebAssembly.Table): unknown[] {
  return Array.from({ length: table.length }, (_, slot) => table.get(slot));
}

function growTable(table: WebAssembly.Table, slots: number): void {
  try {
    table.grow(slots);
  } catch (cause) {
    throw new VitrineError('memory-exhausted', { tableSlots: slots }, { cause });
  }
}
