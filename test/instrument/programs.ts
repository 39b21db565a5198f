// Programs at random, from a seed: stores of all sizes around locals, constants and computed addresses, in blocks, loops
// with an end, arms and calls, with locals that are set again in between; growth, and ranges.

/** A number below `limit`. */
type Below = (limit: number) => number;

const STORE_NAMES = [
  'i32.store',
  'i32.store8',
  'i32.store16',
  'i64.store',
  'i64.store32',
  'f64.store',
  'v128.store',
];
const LOCALS = 5;
const FUNCTIONS = 4;
const STATEMENTS = 6;
const DEEPEST = 4;

/** A module in the text format that exports `f0` … `f3`, of five addresses each, and its memory. */
export function randomProgram(below: Below): string {
  const functions = Array.from({ length: FUNCTIONS }, (_, index) => functionOf(below, index));
  return `(module (memory (export "memory") 1 4) (global $sp (mut i32) (i32.const 40000)) ${functions.join('\n')})`;
}

function functionOf(below: Below, index: number): string {
  const parameters = Array.from({ length: LOCALS }, (_, local) => `(param $p${local} i32)`).join(' ');
  const frame = 16 * below(8);
  return `(func $f${index} (export "f${index}") ${parameters} (result i32) (local $s i32)
    ${Array.from({ length: DEEPEST + 1 }, (_, depth) => `(local $n${depth} i32)`).join(' ')}
    (local.set $s (i32.sub (global.get $sp) (i32.const ${frame})))
    (global.set $sp (local.get $s))
    ${statements(below, index, DEEPEST)}
    (global.set $sp (i32.add (local.get $s) (i32.const ${frame})))
    (i32.add (memory.size) (local.get $p0)))`;
}

function statements(below: Below, index: number, depth: number): string {
  return Array.from({ length: 1 + below(STATEMENTS) }, () => statement(below, index, depth)).join('\n');
}

function statement(below: Below, index: number, depth: number): string {
  const kind = below(depth > 0 ? 16 : 9);
  if (kind < 6) return store(below);
  if (kind < 8) return `(local.set $p${below(LOCALS)} ${address(below, 2)})`;
  if (kind === 8) return bulk(below);
  const inner = (): string => statements(below, index, depth - 1);
  const condition = `(i32.and ${address(below, 1)} (i32.const ${1 << below(12)}))`;
  if (kind < 11) return `(if ${condition} (then ${inner()}) (else ${inner()}))`;
  if (kind < 13) return `(block $b${depth} ${inner()} (br_if $b${depth} ${condition}) ${inner()})`;
  if (kind < 15) {
    const counter = `$n${depth}`;
    return `(local.set ${counter} (i32.const 0)) (loop $l${depth} ${inner()}
      (local.set ${counter} (i32.add (local.get ${counter}) (i32.const 1)))
      ${inner()} (br_if $l${depth} (i32.lt_u (local.get ${counter}) (i32.const ${1 + below(4)}))))`;
  }
  // Only functions before this one, so that all ends.
  if (index === 0) return below(4) === 0 ? '(drop (memory.grow (i32.const 1)))' : store(below);
  const args = Array.from({ length: LOCALS }, () => address(below, 1)).join(' ');
  return `(local.set $p${below(LOCALS)} (i32.and (call $f${below(index)} ${args}) (i32.const 0xbfff)))`;
}

function store(below: Below): string {
  const name = STORE_NAMES[below(STORE_NAMES.length)]!;
  const value = {
    i32: `(i32.const ${below(0x7fff_ffff)})`,
    i64: `(i64.const ${below(0x7fff_ffff)})`,
    f64: `(f64.const ${below(1_000_000)}.5)`,
    v128: `(i32x4.splat (i32.const ${below(0x7fff_ffff)}))`,
  }[name.slice(0, name.indexOf('.'))];
  const offset = below(3) === 0 ? below(6_000) : below(64);
  return `(${name} offset=${offset} ${address(below, 2)} ${value})`;
}

function bulk(below: Below): string {
  const length = `(i32.const ${below(3) === 0 ? below(6_000) : below(40)})`;
  const target = address(below, 1);
  return below(2) === 0
    ? `(memory.fill ${target} (i32.const ${below(256)}) ${length})`
    : `(memory.copy ${target} ${address(below, 1)} ${length})`;
}

/** An address below 48 KiB or so, so that few accesses leave the memory. */
function address(below: Below, depth: number): string {
  const kind = below(depth > 0 ? 10 : 7);
  if (kind < 5) return `(local.get $p${below(LOCALS)})`;
  if (kind === 5) return '(local.get $s)';
  if (kind === 6) return `(i32.const ${below(49_152)})`;
  if (kind < 9) {
    return `(i32.and (i32.add ${address(below, depth - 1)} (i32.const ${below(8_192)})) (i32.const 0xbfff))`;
  }
  return `(local.tee $p${below(LOCALS)} ${address(below, depth - 1)})`;
}
