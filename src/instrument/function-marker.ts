// One function rewritten so that its stores touch the map of pages first. Read three times: for what its loops do, for the
// stores around each root of addresses (`address-values.ts`), then to write.
//
// In front of a store stands a touch, for the whole group that it is in, unless one that is passed on every way here has
// touched the group already. An address by a known root costs no more than that; any other is kept in an added local.
// Between the touch of a group and its other stores nothing can go wrong that the first store does not notice: where its
// address is inside the memory, the group's last byte is at most in the guard.
//
// The map's base is read once and kept in an added local until a call may have moved the map; a loop without calls that
// writes has it read before.
//
// Added locals come after the function's own, so no index changes.

import { AddressValues, type Distance, plus, type Value } from './address-values.ts';
import { CodeReader, OP } from './code-reader.ts';
import { CodeWriter } from './code-writer.ts';
import { type FunctionFacts, isBlock, isCall, scanLoops } from './loop-scan.ts';
import { GRANULES } from './map-layout.ts';
import { type MarkTarget, writeSize, writeTouch, writeTouchConstant } from './mark-code.ts';
import { effectOf, type StackEffect, stackEffect } from './stack-effect.ts';
import { type StoreShape, storeOf } from './stores.ts';

const I32 = 0x7f;
const ADDRESS_LIMIT = 2 ** 32;
/** What an added local is for; 0 and up are the operands of stores, the address first. */
const BASE_PLACE = 9;
/** Until something is written. */
const NO_CODE = new CodeWriter();

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
  /** Stores without a touch of their own. */
  proven: number;
}

export interface FunctionContext {
  /** By function index, imported ones first; and by type index. */
  readonly functions: readonly Arity[];
  readonly types: readonly (Arity | undefined)[];
  readonly granuleShift: number;
  readonly counts: MarkCounts;
  /** How often a store has a constant address, by its page. Complete when all functions were read. */
  readonly constantPages: Map<number, number>;
}

/**
 * A function read, and ready to be written when it is known which pages are always marked. Throws `unsupported`,
 * `argument-invalid`.
 */
export class FunctionMarker {
  readonly #section: Uint8Array;
  readonly #end: number;
  readonly #context: FunctionContext;
  readonly #values: AddressValues;
  readonly #localsStart: number;
  readonly #codeStart: number;
  readonly #localGroups: number;
  readonly #localCount: number;
  readonly #facts: FunctionFacts;
  readonly #added: { readonly key: number; readonly type: number }[] = [];
  #reader: CodeReader;
  #target: MarkTarget | undefined;
  #code = NO_CODE;
  #always: ReadonlySet<number> = new Set();
  #stack: Value[] = [];
  #copiedTo = 0;
  #loop = 0;
  /** Whether the base's local holds it, here and where the blocks around began. */
  #hasBase = false;
  #bases: { readonly had: boolean; called: boolean }[] = [];

  constructor(
    section: Uint8Array,
    body: { readonly start: number; readonly end: number; readonly arity: Arity },
    context: FunctionContext,
  ) {
    this.#section = section.subarray(0, body.end);
    this.#end = body.end;
    this.#context = context;
    this.#values = new AddressValues(2 ** context.granuleShift);
    const reader = new CodeReader(this.#section, body.start);
    this.#localGroups = reader.unsigned();
    this.#localsStart = reader.at;
    let locals = body.arity.parameters;
    for (let left = this.#localGroups; left > 0; left--) {
      locals += reader.unsigned();
      reader.valueType();
    }
    this.#localCount = locals;
    this.#codeStart = reader.at;
    this.#facts = scanLoops(reader, this.#end);
    this.#reader = reader;
    if (!this.#facts.isPlain) this.#pass();
  }

  /**
   * The body rewritten, or itself where it writes nothing; in `whole`, until that is used again. `always` are pages that need
   * no touch. Once.
   */
  write(target: MarkTarget, always: ReadonlySet<number>, whole: CodeWriter): Uint8Array {
    whole.clear();
    if (this.#facts.isPlain) {
      whole.unsigned(this.#localGroups);
      whole.bytes(this.#section.subarray(this.#localsStart, this.#end));
      return whole.written;
    }
    this.#target = target;
    this.#code = new CodeWriter();
    this.#always = always;
    this.#values.startSecondPass();
    this.#pass();
    this.#copyTo(this.#end);
    whole.unsigned(this.#localGroups + this.#added.length);
    whole.bytes(this.#section.subarray(this.#localsStart, this.#codeStart));
    for (const { type } of this.#added) {
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
    this.#loop = 0;
    this.#hasBase = false;
    this.#bases = [{ had: false, called: false }];
    while (reader.at < this.#end) {
      reader.next();
      const { op } = reader;
      const store = storeOf(op);
      if (store !== undefined) this.#store(store);
      else if (op === OP.localGet) this.#stack.push(this.#values.get(reader.immediate));
      else if (op === OP.localSet) this.#values.set(reader.immediate, this.#stack.pop());
      else if (op === OP.localTee) this.#tee(reader.immediate);
      else if (op === OP.i32Const) this.#stack.push(reader.immediate);
      else if (op === OP.i32Add || op === OP.i32Sub) this.#add(op);
      else if (op === OP.memoryCopy || op === OP.memoryFill || op === OP.memoryInit) this.#bulk();
      else if (op === OP.memorySize) this.#replaceSize();
      else if (op === OP.memoryGrow) this.#replaceGrow();
      else this.#other(op);
    }
  }

  #other(op: number): void {
    if (isCall(op)) {
      this.#call(op);
      return;
    }
    const effect = stackEffect(op);
    if (effect !== undefined) {
      this.#apply(effect);
      return;
    }
    // Control, and what is not in the tables.
    if (this.#stack.length > 0) this.#stack = [];
    if (isBlock(op)) this.#enter(op === OP.loop);
    // else, catch, catch_all
    else if (op === OP.else || op === 0x07 || op === 0x19) {
      this.#values.restart();
      const around = this.#bases.at(-1);
      this.#hasBase = around?.had === true && !around.called;
    } else if (op === OP.end || op === OP.delegate) this.#leave();
  }

  #enter(isLoop: boolean): void {
    const facts = isLoop ? this.#facts.loops[this.#loop++] : undefined;
    if (facts?.hasCall) this.#hasBase = false;
    else if (facts?.hasStore) {
      this.#copyTo(this.#reader.start);
      this.#needBase();
    }
    this.#values.enter(facts?.sets);
    this.#bases.push({ had: this.#hasBase, called: false });
  }

  #leave(): void {
    this.#values.leave();
    const frame = this.#bases.pop();
    if (frame === undefined) return;
    this.#hasBase = frame.had && !frame.called;
    const outer = this.#bases.at(-1);
    if (outer !== undefined) outer.called ||= frame.called;
  }

  #call(op: number): void {
    const { functions, types } = this.#context;
    const { immediate } = this.#reader;
    this.#hasBase = false;
    const frame = this.#bases.at(-1);
    if (frame !== undefined) frame.called = true;
    const isIndirect = op === OP.callIndirect;
    const arity = isIndirect ? types[immediate] : op === OP.call ? functions[immediate] : undefined;
    if (arity === undefined || arity.results > 3) this.#stack = [];
    else this.#apply(effectOf(arity.parameters + (isIndirect ? 1 : 0), arity.results));
  }

  #tee(local: number): void {
    const value = this.#stack.pop();
    this.#values.set(local, value);
    this.#stack.push(value ?? this.#values.get(local));
  }

  #add(op: number): void {
    const right = this.#stack.pop();
    const left = this.#stack.pop();
    if (typeof right === 'number') this.#stack.push(plus(left, op === OP.i32Add ? right : -right));
    else if (typeof left === 'number' && op === OP.i32Add) this.#stack.push(plus(right, left));
    else this.#stack.push(undefined);
  }

  #store(store: StoreShape): void {
    const { offset } = this.#reader;
    const address = this.#stack[this.#stack.length - 1 - store.values];
    this.#apply(effectOf(1 + store.values, store.results));
    if (this.#target === undefined) this.#see(address, store);
    else if (typeof address === 'number') this.#storeToConstant((address >>> 0) + offset, store.sizeBytes);
    else if (address === undefined) this.#storeToAny(store);
    else this.#storeTo(address, store);
  }

  /** The first pass. */
  #see(address: Value, { sizeBytes }: StoreShape): void {
    const { offset } = this.#reader;
    const { counts, constantPages } = this.#context;
    counts.stores++;
    if (typeof address === 'object') {
      const low = address.delta + offset;
      this.#values.see(address.root, low, low + sizeBytes);
    } else if (address !== undefined) {
      const [first, last] = this.#pagesOf((address >>> 0) + offset, sizeBytes);
      constantPages.set(first, (constantPages.get(first) ?? 0) + 1);
      if (last !== first) constantPages.set(last, (constantPages.get(last) ?? 0) + 1);
    }
  }

  #storeTo(address: Distance, store: StoreShape): void {
    const { root, delta } = address;
    const low = delta + this.#reader.offset;
    const group = this.#values.groupOf(root, low, low + store.sizeBytes);
    if (group?.isTouched) {
      this.#context.counts.proven++;
      return;
    }
    const holder = this.#values.holderOf(root);
    if (group === undefined || holder === undefined) {
      this.#storeToAny(store);
      return;
    }
    this.#copyTo(this.#reader.start);
    this.#touch(holder.local, (group.high - 1 - holder.delta) | 0);
    this.#values.touch(group);
  }

  #storeToAny(store: StoreShape): void {
    const { offset } = this.#reader;
    const locals = this.#keepOperands(Array.from({ length: store.values }, () => store.valueType));
    this.#touch(locals[0]!, (offset + store.sizeBytes - 1) | 0);
    for (const local of locals) this.#code.indexed(OP.localGet, local);
  }

  #storeToConstant(address: number, sizeBytes: number): void {
    // Such a store always traps.
    if (address + sizeBytes > ADDRESS_LIMIT || this.#target === undefined) return;
    const [first, last] = this.#pagesOf(address, sizeBytes);
    if (this.#always.has(first) && this.#always.has(last)) {
      this.#context.counts.proven++;
      return;
    }
    this.#copyTo(this.#reader.start);
    writeTouchConstant(this.#code, address + sizeBytes - 1, this.#target);
  }

  #bulk(): void {
    this.#apply(effectOf(3, 0));
    if (this.#target === undefined) {
      this.#context.counts.bulk++;
      return;
    }
    const [address, middle, length] = this.#keepOperands([I32, I32]);
    this.#code.indexed(OP.localGet, address!);
    this.#code.indexed(OP.localGet, length!);
    this.#code.indexed(OP.call, this.#target.touchRange);
    for (const local of [address!, middle!, length!]) this.#code.indexed(OP.localGet, local);
  }

  /** Moves the operands of the instruction at hand from the stack into added locals, the address into the first. */
  #keepOperands(values: readonly number[]): number[] {
    this.#copyTo(this.#reader.start);
    const locals = [I32, ...values].map((type, place) => this.#addedLocal(type, place));
    for (const local of locals.toReversed()) this.#code.indexed(OP.localSet, local);
    return locals;
  }

  #touch(local: number, delta: number): void {
    if (this.#target === undefined) return;
    const baseLocal = this.#needBase();
    writeTouch(this.#code, { local, delta, baseLocal }, this.#target);
  }

  /** The local with the map's base in it, read now unless it was. */
  #needBase(): number {
    if (this.#target === undefined || this.#target.fixedBase !== undefined) return -1;
    const local = this.#addedLocal(I32, BASE_PLACE);
    if (!this.#hasBase) {
      this.#code.indexed(OP.globalGet, this.#target.baseGlobal);
      this.#code.indexed(OP.localSet, local);
      this.#hasBase = true;
    }
    return local;
  }

  #replaceSize(): void {
    this.#stack.push(undefined);
    if (this.#target === undefined) return;
    this.#copyTo(this.#reader.start);
    this.#copiedTo = this.#reader.at;
    writeSize(this.#code, this.#target);
  }

  #replaceGrow(): void {
    this.#hasBase = false;
    const frame = this.#bases.at(-1);
    if (frame !== undefined) frame.called = true;
    this.#apply(effectOf(1, 1));
    if (this.#target === undefined) return;
    this.#copyTo(this.#reader.start);
    this.#copiedTo = this.#reader.at;
    this.#code.indexed(OP.call, this.#target.grow);
  }

  /** The added local of that type for that place. */
  #addedLocal(type: number, place: number): number {
    const key = place * 256 + type;
    let index = this.#added.findIndex((one) => one.key === key);
    if (index < 0) index = this.#added.push({ key, type }) - 1;
    return this.#localCount + index;
  }

  #apply(effect: NonNullable<StackEffect>): void {
    for (let left = effect >> 2; left > 0; left--) this.#stack.pop();
    for (let left = effect & 3; left > 0; left--) this.#stack.push(undefined);
  }

  #copyTo(at: number): void {
    if (this.#target === undefined || at <= this.#copiedTo) return;
    this.#code.bytes(this.#section.subarray(this.#copiedTo, at));
    this.#copiedTo = at;
  }

  /** The guest's pages of the first and the last byte. */
  #pagesOf(address: number, sizeBytes: number): readonly [first: number, last: number] {
    const pageBytes = 2 ** this.#context.granuleShift * GRANULES;
    return [Math.floor(address / pageBytes), Math.floor((address + sizeBytes - 1) / pageBytes)];
  }
}
