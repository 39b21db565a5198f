// One function rewritten so that each store marks its pages. Read twice: first to know the ranges that are stored to
// around each local, then to write.
//
// A store whose address is a local that still holds the same value, or a constant, is left as it is; its mark comes at
// the end of the straight run of code it is in, one for all such stores, and none where the range is marked already
// (`definitions.ts`). A trap in between leaves a store unmarked: it ends the call, and whoever catches it takes all
// pages as written. Any other address is kept in an added local and marked at once. A mark follows its store: the store
// has checked the address then.
//
// Added locals come after the function's own, so no index changes.

import { CodeReader, OP } from './code-reader.ts';
import { CodeWriter } from './code-writer.ts';
import { type Definition, Definitions } from './definitions.ts';
import { type MarkTarget, writeMark, writePageMark, writeSize } from './mark-code.ts';
import { effectOf, type StackEffect, stackEffect } from './stack-effect.ts';
import { STORES, type StoreShape } from './stores.ts';

const I32 = 0x7f;
/** An atomic access is aligned or traps. */
const FIRST_ATOMIC = 0xfe000;

/** How many values a function takes and gives. */
export interface Arity {
  readonly parameters: number;
  readonly results: number;
}

export interface MarkCounts {
  /** Stores seen. */
  stores: number;
  /** `memory.copy`, `memory.fill`, `memory.init`. */
  bulk: number;
  /** Stores without a mark of their own. */
  proven: number;
}

export interface FunctionContext {
  readonly target: MarkTarget;
  /** By function index, imported ones first; and by type index. */
  readonly functions: readonly Arity[];
  readonly types: readonly (Arity | undefined)[];
  readonly counts: MarkCounts;
}

/** The body rewritten, or itself where it writes nothing. Throws `unsupported`, `argument-invalid`. */
export function markFunction(
  section: Uint8Array,
  body: { readonly start: number; readonly end: number; readonly arity: Arity },
  context: FunctionContext,
): Uint8Array {
  return new FunctionMarker(section, body, context).run();
}

class FunctionMarker {
  readonly #section: Uint8Array;
  readonly #end: number;
  readonly #context: FunctionContext;
  readonly #definitions = new Definitions();
  readonly #code = new CodeWriter();
  readonly #localsStart: number;
  readonly #codeStart: number;
  readonly #localGroups: number;
  readonly #localCount: number;
  #reader: CodeReader;
  /** What the stack holds, as far as known: a local's value, a constant, or neither. */
  #stack: (Definition | number | undefined)[] = [];
  #copiedTo = 0;
  #isWriting = false;
  #hasWork = false;
  readonly #added: number[] = [];

  constructor(
    section: Uint8Array,
    body: { readonly start: number; readonly end: number; readonly arity: Arity },
    context: FunctionContext,
  ) {
    this.#section = section.subarray(0, body.end);
    this.#end = body.end;
    this.#context = context;
    const reader = new CodeReader(this.#section, body.start);
    this.#reader = reader;
    this.#localGroups = reader.unsigned();
    this.#localsStart = reader.at;
    let locals = body.arity.parameters;
    for (let left = this.#localGroups; left > 0; left--) {
      locals += reader.unsigned();
      reader.valueType();
    }
    this.#localCount = locals;
    this.#codeStart = reader.at;
  }

  run(): Uint8Array {
    this.#pass();
    const own = this.#section.subarray(this.#localsStart, this.#codeStart);
    const whole = new CodeWriter();
    if (!this.#hasWork) {
      whole.unsigned(this.#localGroups);
      whole.bytes(this.#section.subarray(this.#localsStart, this.#end));
      return whole.written;
    }
    this.#isWriting = true;
    this.#definitions.startSecondPass();
    this.#pass();
    this.#copyTo(this.#end);
    whole.unsigned(this.#localGroups + this.#added.length);
    whole.bytes(own);
    for (const type of this.#added) {
      whole.unsigned(1);
      whole.byte(type);
    }
    whole.bytes(this.#code.written);
    return whole.written;
  }

  #pass(): void {
    const reader = new CodeReader(this.#section, this.#codeStart);
    this.#reader = reader;
    this.#copiedTo = this.#codeStart;
    this.#stack = [];
    while (reader.at < this.#end) {
      reader.next();
      const { op } = reader;
      const store = STORES.get(op);
      if (store !== undefined) this.#store(store);
      else if (op === OP.localGet) this.#stack.push(this.#definitions.ofLocal(reader.immediate));
      else if (op === OP.localSet || op === OP.localTee) this.#set(reader.immediate, op === OP.localTee);
      else if (op === OP.i32Const) this.#stack.push(reader.immediate);
      else if (op === OP.memoryCopy || op === OP.memoryFill || op === OP.memoryInit) this.#bulk();
      else if (op === OP.memorySize) this.#replaceSize();
      else if (op === OP.memoryGrow) this.#replaceGrow();
      else if (op === OP.call || op === OP.callIndirect) this.#call(op);
      else this.#other(op);
    }
  }

  #other(op: number): void {
    const effect = stackEffect(op);
    if (effect !== undefined) {
      this.#apply(effect);
      return;
    }
    // Control, and what is not in the tables.
    this.#stack = [];
    if (op >= 0x02 && op <= 0x1f) {
      this.#flush();
      this.#scope(op);
    }
  }

  /** Blocks: what is marked inside them counts inside them alone. */
  #scope(op: number): void {
    const definitions = this.#definitions;
    // block, loop, if, try, try_table
    if (op === 0x02 || op === OP.loop || op === OP.if || op === 0x06 || op === 0x1f) {
      definitions.enter({ isLoop: op === OP.loop });
    }
    // else, catch, catch_all
    else if (op === OP.else || op === 0x07 || op === 0x19) definitions.restart();
    // end, delegate
    else if (op === OP.end || op === 0x18) definitions.leave();
  }

  #call(op: number): void {
    const { functions, types } = this.#context;
    const { immediate } = this.#reader;
    this.#flush();
    const isIndirect = op === OP.callIndirect;
    const arity = isIndirect ? types[immediate] : functions[immediate];
    if (arity === undefined || arity.results > 3) this.#stack = [];
    else this.#apply(effectOf(arity.parameters + (isIndirect ? 1 : 0), arity.results));
  }

  #set(local: number, isTee: boolean): void {
    this.#pop(1);
    const { pending } = this.#definitions;
    if (pending.some((definition) => definition.local === local)) this.#flush();
    this.#definitions.set(local);
    if (isTee) this.#stack.push(this.#definitions.ofLocal(local));
  }

  #store(store: StoreShape): void {
    const { offset } = this.#reader;
    const slot = this.#stack[this.#stack.length - 1 - store.values];
    this.#apply(effectOf(1 + store.values, store.results));
    if (!this.#isWriting) {
      this.#context.counts.stores++;
      this.#hasWork = true;
      if (slot !== undefined && typeof slot !== 'number' && this.#definitions.isCurrent(slot)) {
        this.#definitions.widen(slot, offset, offset + store.sizeBytes);
      }
      return;
    }
    if (typeof slot === 'number') this.#storeToConstant((slot >>> 0) + offset, store.sizeBytes);
    else if (slot !== undefined && this.#definitions.isCurrent(slot)) {
      this.#defer(slot, offset, offset + store.sizeBytes);
    } else this.#storeToAny(store);
  }

  #storeToAny(store: StoreShape): void {
    const { offset, op } = this.#reader;
    const address = this.#keepAddress(Array.from({ length: store.values }, () => store.valueType));
    writeMark(this.#code, address, offset, this.#context.target);
    if (store.sizeBytes > 1 && op < FIRST_ATOMIC) {
      writeMark(this.#code, address, offset + store.sizeBytes - 1, this.#context.target);
    }
  }

  #storeToConstant(address: number, sizeBytes: number): void {
    const { shift } = this.#context.target.layout;
    const first = Math.floor(address / 2 ** shift);
    const last = Math.floor((address + sizeBytes - 1) / 2 ** shift);
    // Such a store always traps.
    if (last >= 2 ** (32 - shift)) return;
    for (let page = first; page <= last; page++) this.#defer(this.#definitions.ofPage(page), 0, 1);
  }

  /** The mark for bytes [low, high) from the definition comes later, or is there already. */
  #defer(definition: Definition, low: number, high: number): void {
    const { counts, target } = this.#context;
    const { pageBytes } = target.layout;
    const isPending = this.#definitions.pending.includes(definition);
    if (
      (low >= definition.markedLow && high <= definition.markedHigh) ||
      (isPending && low >= definition.pendingLow && high <= definition.pendingHigh)
    ) {
      counts.proven++;
      return;
    }
    if (isPending) {
      const [unionLow, unionHigh] = [
        Math.min(low, definition.pendingLow),
        Math.max(high, definition.pendingHigh),
      ];
      if (unionHigh - unionLow <= pageBytes) {
        definition.pendingLow = unionLow;
        definition.pendingHigh = unionHigh;
        counts.proven++;
        return;
      }
      this.#copyTo(this.#reader.at);
      this.#flush();
    }
    // All of the function's stores around it at once, where a page holds them. The first one's address was checked by
    // it, and no offset is negative, so the marks are those of this page, the one before and the one after.
    const isWhole = definition.page < 0 && definition.high - definition.low <= pageBytes;
    definition.pendingLow = isWhole ? definition.low : low;
    definition.pendingHigh = isWhole ? definition.high : high;
    this.#definitions.pending.push(definition);
  }

  /** Writes the marks that were put off, before the instruction that was read last unless it is copied already. */
  #flush(): void {
    const { pending } = this.#definitions;
    if (pending.length === 0) return;
    this.#copyTo(Math.max(this.#copiedTo, this.#reader.start));
    this.#definitions.pending = [];
    for (const definition of pending) this.#writePending(definition);
  }

  #writePending(definition: Definition): void {
    const { target } = this.#context;
    const { local, page, pendingLow, pendingHigh, markedLow, markedHigh } = definition;
    if (page >= 0) {
      writePageMark(this.#code, page, target);
      this.#definitions.mark(definition, 0, 1);
      return;
    }
    const [unionLow, unionHigh] = [Math.min(pendingLow, markedLow), Math.max(pendingHigh, markedHigh)];
    const extends_ = markedLow < markedHigh && unionHigh - unionLow <= target.layout.pageBytes;
    if (!extends_ || unionLow < markedLow) writeMark(this.#code, local, pendingLow, target);
    const isOneByte = pendingHigh - pendingLow === 1;
    if (extends_ ? unionHigh > markedHigh : !isOneByte) {
      writeMark(this.#code, local, pendingHigh - 1, target);
    }
    if (extends_) this.#definitions.mark(definition, unionLow, unionHigh);
    else this.#definitions.mark(definition, pendingLow, pendingHigh);
  }

  #bulk(): void {
    this.#apply(effectOf(3, 0));
    if (!this.#isWriting) {
      this.#context.counts.bulk++;
      this.#hasWork = true;
      return;
    }
    const address = this.#keepAddress([I32, I32]);
    this.#code.indexed(OP.localGet, address);
    this.#code.indexed(OP.localGet, this.#addedLocal(I32, 2));
    this.#code.indexed(OP.call, this.#context.target.markRange);
  }

  /** Writes the instruction with its address, which lies below `values`, kept in the local that is the result. */
  #keepAddress(values: readonly number[]): number {
    const { start, at } = this.#reader;
    this.#copyTo(start);
    const address = this.#addedLocal(I32, 0);
    const locals = values.map((type, index) => this.#addedLocal(type, index + 1));
    for (const local of locals.toReversed()) this.#code.indexed(OP.localSet, local);
    this.#code.indexed(OP.localTee, address);
    for (const local of locals) this.#code.indexed(OP.localGet, local);
    this.#copyTo(at);
    return address;
  }

  #replaceSize(): void {
    this.#stack.push(undefined);
    this.#hasWork = true;
    if (!this.#isWriting) return;
    this.#copyTo(this.#reader.start);
    this.#copiedTo = this.#reader.at;
    writeSize(this.#code, this.#context.target);
  }

  #replaceGrow(): void {
    this.#apply(effectOf(1, 1));
    this.#hasWork = true;
    if (!this.#isWriting) return;
    this.#flush();
    this.#copyTo(this.#reader.start);
    this.#copiedTo = this.#reader.at;
    this.#code.indexed(OP.call, this.#context.target.grow);
  }

  /** The added local of that type for the operand at that place: 0 the address, 1 and 2 what lies above it. */
  #addedLocal(type: number, place: number): number {
    const key = place * 256 + type;
    let index = this.#addedKeys.indexOf(key);
    if (index < 0) {
      index = this.#addedKeys.push(key) - 1;
      this.#added.push(type);
    }
    return this.#localCount + index;
  }

  readonly #addedKeys: number[] = [];

  #apply(effect: NonNullable<StackEffect>): void {
    this.#pop(Math.floor(effect / 4));
    for (let left = effect % 4; left > 0; left--) this.#stack.push(undefined);
  }

  #pop(count: number): void {
    this.#stack.length = Math.max(0, this.#stack.length - count);
  }

  #copyTo(at: number): void {
    if (!this.#isWriting || at <= this.#copiedTo) return;
    this.#code.bytes(this.#section.subarray(this.#copiedTo, at));
    this.#copiedTo = at;
  }
}
