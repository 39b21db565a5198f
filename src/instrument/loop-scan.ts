// What has to be known of a function before it is read from top to bottom: whether it writes at all, and of each loop which
// locals it sets and whether it calls, since at its head all that its end has done may have happened already.

import { type CodeReader, OP } from './code-reader.ts';
import { storeOf } from './stores.ts';

export interface LoopFacts {
  readonly sets: ReadonlySet<number>;
  /** It calls or grows the memory somewhere. */
  readonly hasCall: boolean;
  /** It writes somewhere. */
  readonly hasStore: boolean;
}

export interface FunctionFacts {
  /** In the order in which the loops begin. */
  readonly loops: readonly LoopFacts[];
  /** Nothing in it has to be rewritten. */
  readonly isPlain: boolean;
}

interface Scope {
  sets: Set<number>;
  hasCall: boolean;
  hasStore: boolean;
}

/** Reads a function's code up to `end`. Throws as the reader does. */
export function scanLoops(reader: CodeReader, end: number): FunctionFacts {
  const loops: Scope[] = [];
  /** The loops around; blocks of other kinds stand as undefined. */
  const open: (Scope | undefined)[] = [];
  const around: Scope[] = [];
  let isPlain = true;
  while (reader.at < end) {
    reader.next();
    const { op } = reader;
    const inner = around.at(-1);
    if (op === OP.loop) {
      const loop = { sets: new Set<number>(), hasCall: false, hasStore: false };
      loops.push(loop);
      open.push(loop);
      around.push(loop);
    } else if (isBlock(op)) open.push(undefined);
    else if (op === OP.end || op === OP.delegate) {
      const loop = open.pop();
      if (loop === undefined) continue;
      around.pop();
      const outer = around.at(-1);
      if (outer === undefined) continue;
      for (const local of loop.sets) outer.sets.add(local);
      outer.hasCall ||= loop.hasCall;
      outer.hasStore ||= loop.hasStore;
    } else if (op === OP.localSet || op === OP.localTee) inner?.sets.add(reader.immediate);
    else if (isCall(op)) {
      if (inner !== undefined) inner.hasCall = true;
      if (op === OP.memoryGrow) isPlain = false;
    } else if (op === OP.memorySize) isPlain = false;
    else if (
      storeOf(op) !== undefined ||
      op === OP.memoryCopy ||
      op === OP.memoryFill ||
      op === OP.memoryInit
    ) {
      if (inner !== undefined) inner.hasStore = true;
      isPlain = false;
    }
  }
  return { loops, isPlain };
}

/** block, loop, if, try, try_table. */
export function isBlock(op: number): boolean {
  return op === OP.block || op === OP.loop || op === OP.if || op === 0x06 || op === 0x1f;
}

/** Calls of all kinds, and growth: after them the map may be elsewhere. */
export function isCall(op: number): boolean {
  return (op >= 0x10 && op <= 0x15) || op === OP.memoryGrow;
}
