// What a program's loader writes into its memory by itself: results behind pointers that an import was given (a clock's time,
// the answer of a system call), and blocks that it has the program allocate and then fills. No store of the program does
// that, so no barrier sees it.
//
// A net, and not a proof: while a barrier is armed, the places that an import's arguments may point to are touched before it
// runs, and after a call from outside the block that its result may point to is. Found out with DOSBox, whose clock is
// written so. What is not caught: pointers inside structures (the buffers of `readv`), and views that a loader kept.
//
// Programs call imports a hundred thousand times a second and more (setjmp in C is such calls), so a watched import costs
// one test while nothing is armed, and no array of arguments.

/** Says that bytes may be written. Ranges that leave the memory are cut off. */
export type TouchRange = (address: number, lengthBytes: number) => void;

/** Emscripten's calls through a table, which write nothing, and are most calls of a program with exceptions. */
const CALLS_BACK = /^(invoke_|dynCall)/;

type Callable = (...args: unknown[]) => unknown;

/** Behind a pointer: most results are small structures. */
const RESULT_BYTES = 256;
/** The largest block that a call's result is taken for; its arguments say how large it is. */
const MAX_BLOCK_BYTES = 64 * 1024;
/** Below it no program keeps anything that a pointer leads to; small numbers are rarely pointers. */
const FIRST_ADDRESS = 1024;

/** Imports and exports of one instance, watched while `touch` is set. */
export class GlueWatch {
  /** Set while a barrier is armed. */
  touch: TouchRange | undefined;

  /**
   * The imports with their plain functions watched; `arityOf` says how many arguments each is given. Those of other
   * modules stay as they are.
   */
  imports(
    imports: WebAssembly.Imports,
    arityOf: (module: string, name: string) => number | undefined,
  ): WebAssembly.Imports {
    return Object.fromEntries(
      Object.entries(imports).map(([module, values]) => {
        const watched = Object.entries(values).map(([name, value]) => {
          const arity = arityOf(module, name) ?? 0;
          const isPlain = typeof value === 'function' && !isNative(value) && !CALLS_BACK.test(name);
          return [name, isPlain ? this.#import(value, arity) : value];
        });
        return [module, Object.fromEntries(watched)];
      }),
    );
  }

  /** A function of the program, watched: what it returns may be a block for the loader to fill. */
  export(call: Callable): Callable {
    const watched = (...args: unknown[]): unknown => {
      const result = call(...args);
      if (this.touch !== undefined && isPointer(result)) {
        let size = RESULT_BYTES;
        for (const arg of args) if (isPointer(arg) && arg <= MAX_BLOCK_BYTES) size = Math.max(size, arg);
        this.touch(result >>> 0, size);
      }
      return result;
    };
    Object.defineProperty(watched, 'length', { value: call.length });
    return watched;
  }

  #import(value: WebAssembly.ImportValue, arity: number): WebAssembly.ImportValue {
    // Safe: a function among the imports takes what the program gives it.
    const call = value as Callable;
    const look = (arg: unknown): void => {
      if (isPointer(arg)) this.touch?.(arg >>> 0, RESULT_BYTES);
    };
    const lookAll = (args: readonly unknown[]): void => {
      for (const arg of args) look(arg);
    };
    switch (arity) {
      case 0:
        return call;
      case 1:
        return (a: unknown) => {
          if (this.touch !== undefined) look(a);
          return call(a);
        };
      case 2:
        return (a: unknown, b: unknown) => {
          if (this.touch !== undefined) lookAll([a, b]);
          return call(a, b);
        };
      case 3:
        return (a: unknown, b: unknown, c: unknown) => {
          if (this.touch !== undefined) lookAll([a, b, c]);
          return call(a, b, c);
        };
      case 4:
        return (a: unknown, b: unknown, c: unknown, d: unknown) => {
          if (this.touch !== undefined) lookAll([a, b, c, d]);
          return call(a, b, c, d);
        };
      case 5:
        return (a: unknown, b: unknown, c: unknown, d: unknown, e: unknown) => {
          if (this.touch !== undefined) lookAll([a, b, c, d, e]);
          return call(a, b, c, d, e);
        };
      default:
        return (...args: unknown[]) => {
          if (this.touch !== undefined) lookAll(args);
          return call(...args);
        };
    }
  }
}

function isPointer(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >>> 0 >= FIRST_ADDRESS;
}

/** A function that WebAssembly exported. */
function isNative(value: unknown): boolean {
  return Function.prototype.toString.call(value).includes('[native code]');
}
