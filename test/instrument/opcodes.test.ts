// Every instruction that writes, at every place that matters: inside a page, across the end of one, at the end of memory
// and far past it; by an address that is a local, a constant, or anything else. What lies just past the end is the map,
// where a stray access does not trap: it has a test of its own.
import { describe, expect, it } from 'vitest';
import { instrument } from '../../src/instrument/instrument.ts';
import { clearMarks, isDamaged } from '../../src/instrument/map-layout.ts';
import { STORES } from '../../src/instrument/stores.ts';
import { wat } from '../support/wat.ts';
import { KINDS, Twins } from './twins.ts';

const STATIC_OFFSET = 4_094;
const CONSTANT = 8_190;

interface Writer {
  readonly name: string;
  readonly type: 'i32' | 'i64' | 'f32' | 'f64' | 'v128';
  readonly bytes: number;
  readonly values?: 2;
  readonly hasResult?: true;
  readonly lane?: number;
}

const PLAIN: readonly Writer[] = [
  { name: 'i32.store', type: 'i32', bytes: 4 },
  { name: 'i64.store', type: 'i64', bytes: 8 },
  { name: 'f32.store', type: 'f32', bytes: 4 },
  { name: 'f64.store', type: 'f64', bytes: 8 },
  { name: 'i32.store8', type: 'i32', bytes: 1 },
  { name: 'i32.store16', type: 'i32', bytes: 2 },
  { name: 'i64.store8', type: 'i64', bytes: 1 },
  { name: 'i64.store16', type: 'i64', bytes: 2 },
  { name: 'i64.store32', type: 'i64', bytes: 4 },
  { name: 'v128.store', type: 'v128', bytes: 16 },
  { name: 'v128.store8_lane', type: 'v128', bytes: 1, lane: 3 },
  { name: 'v128.store16_lane', type: 'v128', bytes: 2, lane: 2 },
  { name: 'v128.store32_lane', type: 'v128', bytes: 4, lane: 1 },
  { name: 'v128.store64_lane', type: 'v128', bytes: 8, lane: 1 },
];

const WIDTHS = [
  { type: 'i32', width: '', bytes: 4 },
  { type: 'i64', width: '', bytes: 8 },
  { type: 'i32', width: '8', bytes: 1 },
  { type: 'i32', width: '16', bytes: 2 },
  { type: 'i64', width: '8', bytes: 1 },
  { type: 'i64', width: '16', bytes: 2 },
  { type: 'i64', width: '32', bytes: 4 },
] as const;

const ATOMIC: readonly Writer[] = WIDTHS.flatMap(({ type, width, bytes }) => [
  { name: `${type}.atomic.store${width}`, type, bytes },
  ...['add', 'sub', 'and', 'or', 'xor', 'xchg', 'cmpxchg'].map((change): Writer => {
    const name = `${type}.atomic.rmw${width}.${change}${width === '' ? '' : '_u'}`;
    const changes = { name, type, bytes, hasResult: true } as const;
    return change === 'cmpxchg' ? { ...changes, values: 2 } : changes;
  }),
]);

const VALUE = {
  i32: '(i32.wrap_i64 (local.get $v))',
  i64: '(local.get $v)',
  f32: '(f32.convert_i64_u (local.get $v))',
  f64: '(f64.convert_i64_u (local.get $v))',
  v128: '(i64x2.splat (local.get $v))',
} as const;

/** One exported function for each way to give the address. */
function functionsOf({ name, type, values, hasResult, lane }: Writer): string {
  const value = VALUE[type];
  const zero = type === 'i64' ? '(i64.const 0)' : '(i32.const 0)';
  // Where memory is zeros, compare and exchange writes.
  const operands = values === 2 ? `${zero} ${value}` : value;
  const store = (address: string, offset: number): string => {
    const text = `(${name} offset=${offset}${lane === undefined ? '' : ` ${lane}`} ${address} ${operands})`;
    return hasResult ? `(drop ${text})` : text;
  };
  const whole = (way: string, body: string): string =>
    `(func (export "${name} ${way}") (param $a i32) (param $v i64) ${body})`;
  const offset = offsetOf(name);
  const constant = name.includes('atomic') ? CONSTANT + 2 : CONSTANT;
  return [
    whole('local', store('(local.get $a)', 0)),
    whole('local and offset', store('(local.get $a)', offset)),
    whole('expression', store('(i32.add (local.get $a) (global.get $zero))', 0)),
    whole('expression and offset', store('(i32.add (local.get $a) (global.get $zero))', offset)),
    whole('constant', store(`(i32.const ${constant})`, 0)),
    whole('constant and offset', store(`(i32.const ${constant})`, offset)),
    whole('far offset', store('(local.get $a)', 0xffff_fff0)),
  ].join('\n');
}

/** Atomic accesses are aligned. */
function offsetOf(name: string): number {
  return name.includes('atomic') ? STATIC_OFFSET + 2 : STATIC_OFFSET;
}

const WAYS = ['local', 'local and offset', 'expression', 'expression and offset', 'constant'];
/** Two pages of 64 KiB; a page is 4,096 bytes. */
const MEMORY_BYTES = 131_072;
/** What the map takes here. */
const MAP_BYTES = 65_536;
const FAR_PAST_THE_END = 0x4000_0000;

/** Places where an access of so many bytes lies in one page, crosses into the next, ends memory, and leaves it. */
function placesOf(bytes: number): number[] {
  const last = MEMORY_BYTES - bytes;
  const crossing = [1, Math.ceil(bytes / 2), bytes].map((beyond) => 3 * 4_096 - bytes + beyond);
  return [0, 64, 4_096 - bytes, ...crossing, last, FAR_PAST_THE_END, 0xffff_fff8 | 0];
}

describe.each(
  KINDS.flatMap((kind) => [
    { kind, which: 'plain', writers: PLAIN },
    { kind, which: 'atomic', writers: ATOMIC },
  ]),
)('$kind of $which stores', ({ kind, writers }) => {
  const text = `(module (memory (export "memory") 2 4) (global $zero (mut i32) (i32.const 0))
    (func (export "prime") (memory.fill (i32.const 0) (i32.const 255) (i32.const ${MEMORY_BYTES})))
    ${writers.map(functionsOf).join('\n')})`;
  const module = wat(text);

  it.each(writers.map((writer) => [writer.name, writer] as const))('%s', (name, { bytes }) => {
    const twins = new Twins(module, { kind });
    // Zeros stay zeros.
    if (name.includes('.and')) twins.call('prime');
    let changed = 0;
    let spread = 0;
    let trapped = 0;
    for (const way of [...WAYS, 'constant and offset', 'far offset']) {
      for (const [index, place] of placesOf(bytes).entries()) {
        const address = place + (way.endsWith('offset') && !way.startsWith('constant') ? offsetOf(name) : 0);
        if (way !== 'far offset' && address + bytes > MEMORY_BYTES && address < FAR_PAST_THE_END) continue;
        const value = 0x0123_4567_89ab_cdefn + BigInt(index) * 0x1111_1111_1111_1111n;
        const result = twins.call(`${name} ${way}`, place, BigInt.asIntN(64, value));
        changed += result.changed;
        trapped += result.trapped ? 1 : 0;
        if (result.changed === 2) spread++;
        // No more than the pages around it, and those that are written at constant addresses.
        expect(result.marked).toBeLessThanOrEqual(2 + twins.map.alwaysPages.length);
      }
    }
    expect(changed).toBeGreaterThan(4);
    expect(trapped).toBeGreaterThan(0);
    if (bytes > 1 && !name.includes('atomic')) expect(spread).toBeGreaterThan(0);
  });
});

describe.each(KINDS)('%s of ranges', (kind) => {
  const module = wat(`(module (memory (export "memory") 2 4)
    (data $bytes "abcdefghijklmnopqrstuvwxyz")
    (data (i32.const 100) "active")
    (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
    (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
    (func (export "init") (param i32 i32 i32) (memory.init $bytes (local.get 0) (local.get 1) (local.get 2)))
    (func (export "drop") (data.drop $bytes)))`);

  it.each([
    ['fill', 0, 7, 0],
    ['fill', 10, 7, 1],
    ['fill', 4_000, 7, 97],
    ['fill', 4_000, 7, 96],
    ['fill', 0, 9, MEMORY_BYTES],
    ['fill', 1, 9, MEMORY_BYTES],
    ['fill', 1, 9, MEMORY_BYTES + MAP_BYTES],
    ['fill', 4_000, 9, -1],
    ['fill', MEMORY_BYTES + 1, 9, 0],
    ['fill', MEMORY_BYTES, 9, 0],
    ['fill', -1, 9, 0],
    ['copy', 12_280, 100, 20],
    ['copy', 20_000, 90, 30_000],
    ['copy', MEMORY_BYTES, 0, 1],
    ['copy', MEMORY_BYTES - 1, 0, 1],
    ['init', 8_185, 0, 26],
    ['init', 8_185, 1, 26],
    ['init', 8_185, 26, 0],
  ])('memory.%s %i %i %i', (name, a, b, c) => {
    const twins = new Twins(module, { kind });
    const { changed, marked } = twins.call(name, a, b, c);
    expect(marked).toBeGreaterThanOrEqual(changed);
    const touched = Math.floor((a + c - 1) / 4_096) - Math.floor(a / 4_096) + 1;
    // A range that starts in the first sixteenth of a page takes the page before along.
    const before = a % 4_096 < 256 && a >= 4_096 ? 1 : 0;
    expect(marked).toBeLessThanOrEqual(c === 0 ? 0 : touched + before);
    twins.call('drop');
    twins.call('init', 0, 0, 1);
  });
});

describe.each([{ marks: true }, { barriers: true }] as const)(
  'a stray store just past the end, %o',
  (options) => {
    const module = wat(`(module (memory (export "memory") 2 4)
    (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1))))`);

    it.each([
      [MEMORY_BYTES + 4_096, 0],
      [MEMORY_BYTES + 4_096, -1],
      [MEMORY_BYTES + MAP_BYTES - 4, 0],
      [MEMORY_BYTES + 4_094, -1],
    ] as const)('is noticed: %i %i', (...args) => {
      const { bytes, map } = instrument(module, options);
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
      const memory = exports.memory as WebAssembly.Memory;
      // Safe: a function of the module above.
      const run = exports.store as (...numbers: number[]) => void;
      clearMarks(memory.buffer, map);
      run(4_000, 1);
      run(MEMORY_BYTES - 4, 1);
      expect(isDamaged(memory.buffer, map)).toBe(false);
      run(...args);
      expect(isDamaged(memory.buffer, map)).toBe(true);
      clearMarks(memory.buffer, map);
      expect(isDamaged(memory.buffer, map)).toBe(false);
    });
  },
);

it('knows every store of the corpus and no other', () => {
  expect(STORES.size).toBe(PLAIN.length + ATOMIC.length);
  const text = [...PLAIN, ...ATOMIC].map(functionsOf).join('\n');
  const { report } = instrument(wat(`(module (memory 1) (global $zero (mut i32) (i32.const 0)) ${text})`), {
    marks: true,
  });
  expect(report.stores).toBe((PLAIN.length + ATOMIC.length) * 7);
});
