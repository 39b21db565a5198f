// The compiled code of a machine that does the same again. What v86 compiles, and when, decides where its slices end and
// so when it looks at its timers. All of that is a function of the machine's course, but for three things, which are made
// to follow it:
//
//   when a module is ready    the host's business with v86: here it is compiled at once, and used from the slice's end on
//   what was hot before       begins anew, with no code, wherever the machine's time does
//   hash keys                 which pages go into one module depends on the order that Rust's hash sets are walked in. Their
//                             keys come from an address at first, and count on: they begin anew as well
//
// Nothing else of the compiler outlives its code in a way that shows: which place of the table a module has does not.

import { VitrineError } from '../../base/error.ts';
import type { V86Cpu } from './v86-internals.ts';

/** Two words of 64 bits in v86's memory: what Rust's next hash set or map is keyed with. The first counts up with each. */
const HASH_KEYS_ADDRESS = 49_160;

/** Any two; the published build itself begins with two addresses. */
const FIRST_KEY = 0x5669_7472n;
const SECOND_KEY = 0x696e_6521n;

export class OrderlyCode {
  #waiting: (() => void)[] = [];

  /** A module that is compiled; `putInPlace` lets the machine use it. */
  add(putInPlace: () => void): void {
    this.#waiting.push(putInPlace);
  }

  /** The slice is over: what was compiled in it is used from here on. */
  settle(): void {
    for (const putInPlace of this.#waiting.splice(0)) putInPlace();
  }

  /**
   * The compiler knows nothing any more. Between two slices.
   *
   * Throws `unsupported` when the hash keys are not where this build has them.
   */
  begin(cpu: V86Cpu): void {
    this.settle();
    const keys = () => new BigUint64Array(cpu.wasm_memory.buffer, HASH_KEYS_ADDRESS, 2);
    const before = keys()[0]!;
    cpu.full_clear_tlb();
    // Makes one hash set.
    cpu.jit_clear_cache();
    if (keys()[0] !== BigInt.asUintN(64, before + 1n)) {
      throw new VitrineError('unsupported', { missing: 'v86: the keys of its hash sets' });
    }
    keys().set([FIRST_KEY, SECOND_KEY]);
  }
}
