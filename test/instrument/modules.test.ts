// What a rewritten module keeps, what it refuses, and real modules.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { clearMarks, guestBytesOf, INSTRUMENT_EXPORTS, marksIn } from '../../src/instrument/index.ts';
import { instrument } from '../../src/instrument/instrument.ts';
import { findSection, readSections, SECTION } from '../../src/instrument/module-sections.ts';
import { wasmUrl } from '../support/micropython-loader.ts';
import { wat } from '../support/wat.ts';
import { KINDS, Twins } from './twins.ts';

const require = createRequire(import.meta.url);

describe('a rewritten module', () => {
  const growing = wat(`(module (memory (export "memory") 1 40)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "size") (result i32) (memory.size))
    (func (export "store") (param i32) (i64.store (local.get 0) (i64.const -1))))`);

  it('answers memory.size and memory.grow as before, and its map moves along', () => {
    for (const pageBytes of [256, 4_096, 65_536]) {
      const twins = new Twins(growing, { pageBytes });
      for (const pages of [0, 1, 2, 0, 5, 100, 20, 11, 1]) {
        // Marked before it grows, and still so after it.
        twins.call('store', 65_520);
        const before = marksIn(twins.marked.buffer, twins.map).slice();
        twins.call('grow', pages);
        twins.call('size');
        twins.call('store', twins.plain.buffer.byteLength - 8);
        expect(before.reduce((sum, mark) => sum + mark, 0)).toBeGreaterThan(0);
      }
      expect(guestBytesOf(twins.marked.buffer, twins.map)).toBe(40 * 65_536);
    }
  });

  it.each(KINDS)('finds its %s where growth has moved them, in loops and arms too', (kind) => {
    const text = `(module (memory (export "memory") 1 90)
      (func $grow (drop (memory.grow (i32.const 1))))
      (func (export "loop") (param $a i32) (param $n i32)
        (i32.store (local.get $n) (i32.const 1))
        (loop $again
          (i32.store (i32.mul (local.get $n) (i32.const 4099)) (local.get $a))
          (call $grow)
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
      (func (export "arms") (param $a i32) (param $n i32)
        (i32.store (local.get $n) (i32.const 1))
        (if (i32.and (local.get $n) (i32.const 1)) (then (call $grow)) (else (i32.store (i32.const 9) (local.get $n))))
        (i32.store (i32.mul (local.get $n) (i32.const 4099)) (local.get $a))))`;
    const twins = new Twins(wat(text), { kind, pageBytes: 256 });
    for (let round = 1; round < 9; round++) {
      twins.call('loop', round, round);
      twins.call('arms', 77 + round, round);
    }
  });

  it('keeps marks while it grows, from inside and from the host', () => {
    const { bytes, map } = instrument(growing, { marks: true });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
    // Safe: a function of two numbers at most, and the memory.
    const call = (name: string, value: number) => (exports[name] as (value: number) => number)(value);
    const memory = exports.memory as WebAssembly.Memory;
    const marked = () => [...marksIn(memory.buffer, map)].flatMap((mark, page) => (mark === 1 ? [page] : []));
    call('store', 8_190);
    call('store', 65_528);
    expect(marked()).toEqual([1, 2, 15]);
    expect(call('grow', 1)).toBe(1);
    expect(marked()).toEqual([1, 2, 15]);
    expect(call(INSTRUMENT_EXPORTS.grow, 30)).toBe(2);
    expect(marked()).toEqual([1, 2, 15]);
    call('store', 32 * 65_536 - 8);
    expect(marked()).toEqual([1, 2, 15, 511]);
    expect(call('grow', 9)).toBe(-1);
    expect(marked()).toEqual([1, 2, 15, 511]);
    clearMarks(memory.buffer, map);
    expect(marked()).toEqual([]);
  });

  it('has its data, runs its start function, and grows with the host', () => {
    const twins = new Twins(
      wat(`(module (memory (export "memory") 1 4) (start $start)
        (data (i32.const 4090) "across two pages") (data $later "later")
        (func $start (i32.store offset=9000 (i32.const 0) (i32.const 7)))
        (func (export "init") (memory.init $later (i32.const 300) (i32.const 0) (i32.const 5))))`),
    );
    expect(marksIn(twins.marked.buffer, twins.map)[2]).toBe(1);
    twins.call('init');
    twins.grow(2);
    twins.call('init');
  });

  it('takes an imported memory that has room, before its start function', () => {
    const twins = new Twins(
      wat(`(module (import "env" "memory" (memory 2 6)) (start $start)
        (func $start (i32.store offset=9000 (i32.const 0) (i32.const 7)))
        (func (export "store") (param i32) (i64.store (local.get 0) (i64.const -1)))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))`),
      { imported: { initial: 2, maximum: 6 } },
    );
    expect(marksIn(twins.marked.buffer, twins.map)[2]).toBe(1);
    for (const address of [0, 4_090, 131_064]) twins.call('store', address);
    twins.call('grow', 3);
    twins.call('store', 5 * 65_536 - 8);
  });

  it('keeps what it does not rewrite byte for byte', () => {
    const module = Uint8Array.from(readFileSync(wasmUrl));
    const [before, after] = [readSections(module), readSections(instrument(module, { marks: true }).bytes)];
    for (const id of [SECTION.import, SECTION.table, 9, 11, 12]) {
      expect(Buffer.compare(bytesOf(before, id), bytesOf(after, id)), `section ${id}`).toBe(0);
    }
    const custom = (sections: typeof before) => sections.filter(({ id }) => id === SECTION.custom);
    expect(custom(after).slice(0, -1)).toEqual(custom(before));
  });

  it('keeps its name section', () => {
    const module = readFileSync(require.resolve('v86/build/v86.wasm'));
    const { bytes, report } = instrument(module, { marks: true });
    const compiled = new WebAssembly.Module(bytes);
    const names = (one: WebAssembly.Module) => WebAssembly.Module.customSections(one, 'name')[0]!;
    const original = names(new WebAssembly.Module(module));
    expect(Buffer.compare(new Uint8Array(names(compiled)), new Uint8Array(original))).toBe(0);
    expect(original.byteLength).toBeGreaterThan(1_000);
    expect(report.stores).toBeGreaterThan(30_000);
    expect(report.proven).toBeGreaterThan(10_000);
  });
});

describe('stores without a mark of their own', () => {
  /** Around the local, further apart than a page, so that ranges are not marked as a whole. */
  const far =
    '(if (i32.eq (local.get $a) (i32.const 1)) (then (i32.store offset=9000 (local.get $a) (i32.const 1))))';
  const module = wat(`(module (memory (export "memory") 2 2)
    (func $nothing)
    (func (export "loop") (param $a i32) (param $n i32)
      (i32.store (local.get $a) (i32.const 1))
      (loop $again
        (i32.store (local.get $a) (i32.const 2))
        (local.set $a (i32.add (local.get $a) (i32.const 8192)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "up") (param $a i32) (param $n i32)
      (i32.store (local.get $a) (local.get $n)) (call $nothing)
      (i32.store offset=3000 (local.get $a) (local.get $n)) (call $nothing)
      (i32.store offset=4000 (local.get $a) (local.get $n)) ${far})
    (func (export "down") (param $a i32) (param $n i32)
      (i32.store offset=4000 (local.get $a) (local.get $n)) (call $nothing)
      (i32.store offset=3000 (local.get $a) (local.get $n)) (call $nothing)
      (i32.store (local.get $a) (local.get $n)) ${far})
    (func (export "struct") (param $a i32) (param $n i32)
      (i32.store offset=4 (local.get $a) (local.get $n))
      (i64.store offset=8 (local.get $a) (i64.const -1))
      (if (local.get $n) (then (i32.store offset=20 (local.get $a) (local.get $n))))
      (i32.store (local.get $a) (local.get $n))))`);

  it.each(['loop', 'up', 'down', 'struct'])('are marked all the same: %s', (name) => {
    for (let address = 0; address < 12_288; address += 92) {
      const twins = new Twins(module);
      expect(twins.call(name, address, 3).changed).toBeGreaterThan(0);
    }
  });

  it('are many where a structure is filled', () => {
    const { report } = instrument(
      wat(`(module (memory 1) (func (param i32)
        (i32.store offset=4 (local.get 0) (i32.const 1))
        (if (local.get 0) (then (i32.store offset=8 (local.get 0) (i32.const 1))))
        (i32.store (local.get 0) (i32.const 1))))`),
      { marks: true },
    );
    expect(report).toEqual({ stores: 3, bulk: 0, proven: 2 });
  });
});

function bytesOf(sections: ReturnType<typeof readSections>, id: number): Uint8Array {
  return findSection(sections, id)?.bytes ?? new Uint8Array(0);
}

describe('refuses', () => {
  const refusal = (module: Uint8Array): unknown => {
    try {
      instrument(module, { marks: true });
    } catch (error) {
      return error;
    }
    return undefined;
  };
  const unsupported = (missing: string) =>
    expect.objectContaining({
      code: 'unsupported',
      data: expect.objectContaining({ missing: expect.stringContaining(missing) }),
    });

  it.each([
    ['several memories', '(module (memory 1) (memory 1))', 'several memories'],
    ['64-bit addresses', '(module (memory i64 1))', '64-bit'],
    ['no memory', '(module)', 'without a memory'],
  ])('%s', (_, text, missing) => {
    expect(refusal(wat(text))).toEqual(unsupported(missing));
  });

  it('opcodes that it does not know, by name and offset', () => {
    const module = wat('(module (memory 1) (func (nop) (i32.store (i32.const 1) (i32.const 2))))');
    for (const [opcode, name] of [
      [0xfb, 'garbage collection'],
      [0x27, '0x27'],
      [0xff, '0xff'],
    ] as const) {
      const broken = module.slice();
      // In the place of the nop.
      broken[module.lastIndexOf(0x41) - 3] = opcode;
      expect(refusal(broken), name).toEqual(unsupported(name));
      expect(refusal(broken)).toMatchObject({ data: { offset: expect.any(Number) } });
    }
  });

  it('what was instrumented before', () => {
    const { bytes } = instrument(wat('(module (memory 1))'), { marks: true });
    expect(refusal(bytes)).toMatchObject({ code: 'argument-invalid' });
  });

  it('what is no module, and every cut of one, with a code', () => {
    expect(refusal(Uint8Array.of(1, 2, 3))).toMatchObject({ code: 'argument-invalid' });
    const module = wat(`(module (memory (export "m") 1) (func (export "f") (param i32)
      (if (local.get 0) (then (i64.store (local.get 0) (i64.const 5))))))`);
    for (let length = 9; length < module.length; length++) {
      const error = refusal(module.slice(0, length));
      if (error !== undefined)
        expect(['argument-invalid', 'unsupported']).toContain((error as { code: string }).code);
    }
  });

  it.each([
    { pageBytes: 3_000 },
    { pageBytes: 128 },
    { pageBytes: 131_072 },
    { maxMemoryBytes: 10 },
    { shared: { maximumPages: 1 } },
    { shared: { maximumPages: 2.5 } },
    { marks: false },
  ])('%o', (options) => {
    expect(() => instrument(wat('(module (memory 2))'), { marks: true, ...options })).toThrow(
      expect.objectContaining({ code: 'argument-invalid' }),
    );
  });
});

describe('a shared memory', () => {
  const text = `(func (export "store") (param i32) (i64.store (local.get 0) (i64.const -1)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "size") (result i32) (memory.size))`;
  const own = wat(`(module (memory (export "memory") 2 40) ${text})`);

  it('is one that grows by itself, where nothing else is asked for', () => {
    const { bytes, map, memory } = instrument(own, { shared: { maximumPages: 9 } });
    expect(map).toBeUndefined();
    expect(memory).toEqual({ initial: 2, maximum: 9, shared: true, isImported: false });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
    // Safe: they are the module's above.
    const { memory: shared, grow } = exports as unknown as {
      memory: WebAssembly.Memory;
      grow(pages: number): number;
    };
    expect(shared.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect([grow(3), grow(4), grow(1)]).toEqual([2, 5, -1]);
  });

  it.each(['shared marks', 'shared barriers'] as const)('has %s, and a size of its own', (kind) => {
    const twins = new Twins(own, { kind, shared: { maximumPages: 40 } });
    expect(twins.marked.buffer).toBeInstanceOf(SharedArrayBuffer);
    for (const pages of [0, 1, 30, 8, 0, -1, 100, 7]) {
      twins.call('grow', pages);
      twins.call('size');
      twins.call('store', twins.plain.buffer.byteLength - 8);
    }
    expect(guestBytesOf(twins.marked.buffer, twins.map)).toBe(40 * 65_536);
  });

  it.each(['marks', 'barriers'] as const)('that a module has already gets %s', (kind) => {
    const twins = new Twins(wat(`(module (import "env" "memory" (memory 2 6 shared)) ${text})`), {
      kind,
      imported: { initial: 2, maximum: 6, shared: true },
    });
    for (const address of [0, 4_090, 131_064]) twins.call('store', address);
    twins.call('grow', 4);
    twins.call('store', 6 * 65_536 - 8);
  });
});
