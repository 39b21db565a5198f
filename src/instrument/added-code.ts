// What is added to a module beside its rewritten code: functions, their types, globals, the table of the host's function,
// and exports. All of it comes at the end of its index space, so that nothing is renumbered.

import { concatBytes } from '../base/bytes.ts';
import { announceBody, type BarrierTarget, tellBody } from './barrier-code.ts';
import { fixedGrowBody, sizeBody } from './fixed-size.ts';
import type { MapLayout } from './map-layout.ts';
import { growBody, initBody } from './mark-code.ts';
import { nameBytes, SECTION, type Section, unsigned, withMore, withSection } from './module-sections.ts';
import { KIND } from './module-shape.ts';
import { touchRangeBody } from './range-code.ts';

/** Names of what is added to the exports. */
export const INSTRUMENT_EXPORTS = {
  /** Grows the guest's memory from outside: pages of 64 KiB → its former size, or -1. */
  grow: 'vitrine:grow',
  /** The map's address; run-time modules import it. */
  base: 'vitrine:base',
  /** Barriers: whether the host's function is to be called. */
  armed: 'vitrine:armed',
  /** Barriers: the table whose one element is the host's function, of a page's index. */
  hook: 'vitrine:hook',
} as const;

const I32 = 0x7f;
const FUNCREF = 0x70;
const TYPE = 0x60;
const TYPES = {
  range: Uint8Array.of(TYPE, 2, I32, I32, 0),
  grow: Uint8Array.of(TYPE, 1, I32, 1, I32),
  size: Uint8Array.of(TYPE, 0, 1, I32),
  page: Uint8Array.of(TYPE, 1, I32, 0),
  start: Uint8Array.of(TYPE, 0, 0),
} as const;
type TypeName = keyof typeof TYPES;

/** How many of each there are before something is added. */
export interface IndexSpaces {
  readonly types: number;
  readonly functions: number;
  readonly globals: number;
  readonly tables: number;
}

export interface AddedCode {
  readonly target: BarrierTarget;
  /** Set when a start function has to find the map first. */
  readonly start: number | undefined;
  readonly functions: readonly { readonly type: TypeName; readonly body: () => Uint8Array }[];
}

/** Where things will be, and the functions to add. */
export function planAddedCode(
  layout: MapLayout,
  spaces: IndexSpaces,
  options: {
    readonly fixedBase: number | undefined;
    readonly isShared: boolean;
    /** Given when the map's base is found at the start: the module's own start function, if it has one. */
    readonly init?: { readonly start: number | undefined };
  },
): AddedCode {
  const { fixedBase, isShared, init } = options;
  const names = Object.keys(TYPES);
  const target: BarrierTarget = {
    layout,
    fixedBase,
    isShared,
    baseGlobal: spaces.globals,
    armedGlobal: spaces.globals + 1,
    hookTable: spaces.tables,
    hookType: spaces.types + names.indexOf('page'),
    touchRange: spaces.functions,
    grow: spaces.functions + 1,
    size: spaces.functions + 2,
    tell: spaces.functions + 3,
    announce: spaces.functions + 4,
  };
  const isFixed = layout.fixed !== undefined;
  const nothing = (): Uint8Array => Uint8Array.of(0, 0x0b);
  const isBarrier = layout.kind === 'barriers';
  const functions: AddedCode['functions'][number][] = [
    { type: 'range', body: () => touchRangeBody(target) },
    { type: 'grow', body: () => (isFixed ? fixedGrowBody(layout) : growBody(target)) },
    { type: 'size', body: () => sizeBody(layout) },
    { type: 'page', body: () => (isBarrier ? tellBody(target) : nothing()) },
    { type: 'page', body: () => (isBarrier ? announceBody(target) : nothing()) },
  ];
  if (init === undefined) return { target, functions, start: undefined };
  functions.push({ type: 'start', body: () => initBody(target, init.start) });
  return { target, functions, start: target.announce + 1 };
}

/** The sections with the added functions behind the module's own, whose bodies are given. */
export function withAddedFunctions(
  sections: readonly Section[],
  { functions, start }: AddedCode,
  firstType: number,
): Section[] {
  const names = Object.keys(TYPES);
  let changed = withMore(sections, SECTION.type, Object.values(TYPES));
  const types = functions.map(({ type }) => unsigned(firstType + names.indexOf(type)));
  changed = withMore(changed, SECTION.function, types);
  const bodies = functions.map(({ body }) => {
    const bytes = body();
    return concatBytes([unsigned(bytes.length), bytes]);
  });
  changed = withMore(changed, SECTION.code, bodies);
  if (start === undefined) return changed;
  return withSection(changed, { id: SECTION.start, bytes: unsigned(start) });
}

/** The globals, the table and the exports of a module that has the memory. */
export function withAddedState(sections: readonly Section[], { target }: AddedCode, base: number): Section[] {
  const isBarrier = target.layout.kind === 'barriers';
  const global = (value: number): Uint8Array =>
    concatBytes([Uint8Array.of(I32, 1, 0x41), signed(value), Uint8Array.of(0x0b)]);
  const exported = (name: string, kind: number, index: number): Uint8Array =>
    concatBytes([nameBytes(name), Uint8Array.of(kind), unsigned(index)]);
  let changed = withMore(sections, SECTION.global, [global(base), ...(isBarrier ? [global(0)] : [])]);
  if (isBarrier) changed = withMore(changed, SECTION.table, [Uint8Array.of(FUNCREF, 1, 1, 1)]);
  return withMore(changed, SECTION.export, [
    exported(INSTRUMENT_EXPORTS.grow, KIND.function, target.grow),
    exported(INSTRUMENT_EXPORTS.base, KIND.global, target.baseGlobal),
    ...(isBarrier
      ? [
          exported(INSTRUMENT_EXPORTS.armed, KIND.global, target.armedGlobal),
          exported(INSTRUMENT_EXPORTS.hook, KIND.table, target.hookTable),
        ]
      : []),
  ]);
}

/** A signed LEB128 integer of 32 bits from an address. */
function signed(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value | 0;
  for (; rest < -64 || rest > 63; rest >>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest & 0x7f);
  return Uint8Array.from(bytes);
}
