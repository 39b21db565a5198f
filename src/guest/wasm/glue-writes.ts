// What a program's loader writes into its memory by itself: results behind pointers that an import was given (a clock's time,
// the answer of a system call), and blocks that it has the program allocate and then fills. No store of the program does
// that, so neither marks nor barriers see it.
//
// A net, and not a proof: before an import runs, the places that its arguments may point to count as written, and after a call
// from outside the block that its result may point to does. Found out with DOSBox, whose clock is written so. What is not
// caught: pointers inside structures (the buffers of `readv`), and views that a loader kept from earlier.

/** Says that bytes may be written. Ranges that leave the memory are cut off. */
export type TouchRange = (address: number, lengthBytes: number) => void;

/** Behind a pointer: most results are small structures. */
const RESULT_BYTES = 256;
/** The largest block that a call's result is taken for; its arguments say how large it is. */
const MAX_BLOCK_BYTES = 64 * 1024;
/** Below it no program keeps anything that a pointer leads to; small numbers are rarely pointers. */
const FIRST_ADDRESS = 1024;

/** The imports of an instance that is not there yet, and what its touches go to once it is. */
export class GlueWatch {
  readonly imports: WebAssembly.Imports | undefined;
  #touch: TouchRange | undefined;

  /** Imports of a program that is not instrumented stay as they are. */
  constructor(imports: WebAssembly.Imports | undefined, options: { readonly isInstrumented: boolean }) {
    const touch: TouchRange = (address, lengthBytes) => this.#touch?.(address, lengthBytes);
    this.imports = imports && options.isInstrumented ? watchImports(imports, touch) : imports;
  }

  begin(touch: TouchRange): void {
    this.#touch = touch;
  }
}

/** The imports with their plain functions watched. Those of other modules stay: what they write, they mark. */
function watchImports(imports: WebAssembly.Imports, touch: TouchRange): WebAssembly.Imports {
  return Object.fromEntries(
    Object.entries(imports).map(([name, module]) => {
      const values = Object.entries(module).map(([field, value]) => [
        field,
        typeof value === 'function' && !isNative(value) ? watchImport(value, touch) : value,
      ]);
      return [name, Object.fromEntries(values)];
    }),
  );
}

/** A function of the program, watched: what it returns may be a block for the loader to fill. */
export function watchExport(
  call: (...args: unknown[]) => unknown,
  touch: TouchRange,
): (...args: unknown[]) => unknown {
  const watched = (...args: unknown[]): unknown => {
    const result = call(...args);
    if (isPointer(result)) {
      let size = RESULT_BYTES;
      for (const arg of args) {
        if (isPointer(arg) && arg <= MAX_BLOCK_BYTES) size = Math.max(size, arg);
      }
      touch(result >>> 0, size);
    }
    return result;
  };
  Object.defineProperty(watched, 'length', { value: call.length });
  return watched;
}

function watchImport(call: WebAssembly.ImportValue, touch: TouchRange): WebAssembly.ImportValue {
  // Safe: a function among the imports takes what the program gives it.
  const original = call as (...args: unknown[]) => unknown;
  const watched = (...args: unknown[]): unknown => {
    for (const arg of args) if (isPointer(arg)) touch(arg >>> 0, RESULT_BYTES);
    return original(...args);
  };
  Object.defineProperty(watched, 'length', { value: original.length });
  return watched;
}

function isPointer(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >>> 0 >= FIRST_ADDRESS;
}

/** A function that WebAssembly exported. */
function isNative(value: unknown): boolean {
  return Function.prototype.toString.call(value).includes('[native code]');
}
