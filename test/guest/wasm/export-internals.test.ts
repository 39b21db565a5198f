// The rewritten module runs as the original one and shows its state.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { exportInternals } from '../../../src/guest/wasm/export-internals.ts';
import { wasmUrl } from '../../support/micropython-loader.ts';
import { wat } from '../../support/wat.ts';
import { churnModule } from './churn.ts';

const PAGE = 65_536;
const instanceOf = (bytes: Uint8Array<ArrayBuffer>, imports: WebAssembly.Imports = {}) =>
  new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
const refused = (code: string) => expect.objectContaining({ code });

describe('exportInternals', () => {
  it('exports hidden globals, tables and memories, and keeps the names that are there', () => {
    const { bytes, internals } = exportInternals(churnModule());
    const { exports } = instanceOf(bytes, { env: { host: () => {} } });
    expect(internals.globals.map(({ type }) => type)).toEqual(['i32', 'i64', 'f64', 'f32', 'i32', 'i32']);
    const values = internals.globals.map(
      ({ exportName }) => (exports[exportName] as WebAssembly.Global).value,
    );
    expect(values).toEqual([12345, -7n, 0.1, 0.5, 1, 1]);
    expect(
      internals.tables.map(({ exportName }) => (exports[exportName] as WebAssembly.Table).length),
    ).toEqual([4, 1]);
    expect(internals.tables[1]?.exportName).toBe('grown');
    expect(exports[internals.memory!.exportName]).toBeInstanceOf(WebAssembly.Memory);
    expect(internals.memory).toMatchObject({ minPages: 1, maxPages: 6 });
    expect(internals.added).toHaveLength(8);
    expect((exports.run as (steps: number) => number)(100)).toBe(
      (instanceOf(churnModule(), { env: { host: () => {} } }).exports.run as (steps: number) => number)(100),
    );
  });

  it('knows the functions that only tell globals', () => {
    const { internals } = exportInternals(
      wat(`(module (import "env" "f" (func $f)) (memory 1) (global $sp (mut i32) (i32.const 4096))
        (func (export "current") (result i32) (global.get $sp))
        (func (export "free") (param i32) (result i32) (local i64)
          (i32.sub (global.get $sp) (i32.mul (local.get 0) (i32.const -300000))))
        (func (export "restore") (param i32) (global.set $sp (local.get 0)))
        (func (export "load") (result i32) (i32.load (global.get $sp)))
        (func (export "store") (i32.store (global.get $sp) (i32.const 1)))
        (func (export "call") (result i32) (call $f) (global.get $sp))
        (func (export "wait") (loop $again (br $again)))
        (func (export "grow") (result i32) (memory.grow (global.get $sp)))
        (func $hidden (result i32) (global.get $sp))
        (export "f" (func $f)))`),
    );
    expect([...internals.globalReaders]).toEqual(['current', 'free']);
  });

  it('finds among them what MicroPython is asked for most', () => {
    const { internals } = exportInternals(Uint8Array.from(readFileSync(wasmUrl)));
    expect(internals.globalReaders).toContain('emscripten_stack_get_current');
  });

  it('takes a function with an instruction that it does not know for one that does more', () => {
    const module = wat(`(module (global $sp (mut i32) (i32.const 4096))
      (func (export "current") (result i32) (global.get $sp))
      (func (export "later") (nop)))`);
    module[module.lastIndexOf(0x01)] = 0xff;
    expect([...exportInternals(module).internals.globalReaders]).toEqual(['current']);
  });

  it('sets the end of the memory', () => {
    const module = wat('(module (memory (export "m") 2))');
    const grow = (bytes: Uint8Array<ArrayBuffer>, pages: number) =>
      (instanceOf(bytes).exports.m as WebAssembly.Memory).grow(pages);
    const { bytes, internals } = exportInternals(module, { maxMemoryBytes: 5 * PAGE - 1 });
    expect(internals.memory?.maxPages).toBe(5);
    expect(grow(bytes, 3)).toBe(2);
    expect(() => grow(bytes, 4)).toThrow(RangeError);
    expect(exportInternals(module).internals.memory?.maxPages).toBe(2 + 256);
    const small = wat('(module (memory 1 3))');
    expect(exportInternals(small, { maxMemoryBytes: 100 * PAGE }).internals.memory?.maxPages).toBe(3);
    expect(() => exportInternals(module, { maxMemoryBytes: PAGE })).toThrow(refused('argument-invalid'));
  });

  it('passes over constants of every kind', () => {
    const { bytes, internals } = exportInternals(
      wat(`(module
        (import "env" "base" (global $base i32))
        (import "env" "table" (table 2 funcref))
        (import "env" "f" (func $f))
        (global $a (mut i64) (i64.const -9223372036854775808))
        (global $b (mut i32) (global.get $base))
        (global $c v128 (v128.const i32x4 11 11 11 11))
        (global $d funcref (ref.func $f))
        (global $e externref (ref.null extern))
        (global $g (mut f32) (f32.const 11.5))
        (export "d" (global $d)) (export "e" (global $e))
        (func (export "c") (drop (global.get $c))))`),
    );
    const table = new WebAssembly.Table({ element: 'anyfunc', initial: 2 });
    const { exports } = instanceOf(bytes, { env: { base: 100, table, f: () => {} } });
    const values = internals.globals.map(
      ({ exportName }) => (exports[exportName] as WebAssembly.Global).value,
    );
    expect(values).toEqual([-9223372036854775808n, 100, 11.5]);
    expect(internals.memory).toBeUndefined();
    // Sums in constants are newer than the engine of some hosts: only that they are passed over is checked.
    const sum = '(global (mut i32) (i32.add (i32.const 1) (i32.mul (i32.const 3) (i32.const -2))))';
    const { internals: summed } = exportInternals(wat(`(module ${sum} (global (mut f64) (f64.const 0)))`));
    expect(summed.globals.map(({ type }) => type)).toEqual(['i32', 'f64']);
    expect(exports[internals.tables[0]!.exportName]).toBe(table);
  });

  it('takes an imported memory that declares its end', () => {
    const { bytes, internals } = exportInternals(wat('(module (import "env" "memory" (memory 1 4)))'));
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 4 });
    expect(instanceOf(bytes, { env: { memory } }).exports[internals.memory!.exportName]).toBe(memory);
    expect(internals.memory?.maxPages).toBe(4);
  });

  it('refuses by name what it cannot freeze', () => {
    const refusals = {
      '(module (import "env" "memory" (memory 1)))': /imported memory/,
      '(module (memory 1 2 shared))': /shared/,
      '(module (memory i64 1 2))': /64-bit/,
      '(module (memory 1) (memory 1))': /several memories/,
      '(module (global (export "v") (mut v128) (v128.const i32x4 0 0 0 0)))': /v128/,
      '(module (global (export "r") (mut externref) (ref.null extern)))': /externref/,
    };
    for (const [text, reason] of Object.entries(refusals)) {
      const module = wat(text);
      expect(() => exportInternals(module), text).toThrow(refused('unsupported'));
      expect(() => exportInternals(module), text).toThrow(reason);
    }
  });

  it('refuses every truncation with a code of ours', () => {
    const module = churnModule();
    for (let length = 0; length < module.length; length++) {
      const cut = module.subarray(0, length);
      try {
        exportInternals(cut);
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^(argument-invalid|unsupported)$/) });
        continue;
      }
      // Cut between two sections it is a shorter list of them: the platform refuses it, or it is whole.
      expect(WebAssembly.validate(exportInternals(cut).bytes)).toBe(WebAssembly.validate(cut));
    }
    expect(() => exportInternals(exportInternals(module).bytes)).toThrow(refused('argument-invalid'));
  });
});
