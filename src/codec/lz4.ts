// LZ4 blocks, by lz4_flex compiled to WebAssembly (npm `lz4-wasm`): 542 MB/s in and 956 MB/s out on frames of
// guest memory, 25 KB.
//
// The package's own JavaScript imports its .wasm as a module, which neither Vite nor Node does without a plugin,
// so `wasm/build.mjs` puts it into one of ours, and this file calls the compiled functions itself: an argument is (address, length) in the module's memory, a
// result is written to four words on its stack. The version is pinned; a test checks the exports.
//
// The library puts the plain length in front of a block and allocates what it says. A pack has that length in its
// index, so here it is cut off on the way out and put back on the way in: no foreign length gets to the library.

import { copyBytes, fromHex, type OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { type Codec, MAX_ENCODED_BYTES } from './codec.ts';

export const LZ4_ID = 2;

const LENGTH_BYTES = 4;
const RESULT_BYTES = 16;

interface Lz4Exports {
  readonly memory: WebAssembly.Memory;
  compress(result: number, at: number, lengthBytes: number): void;
  decompress(result: number, at: number, lengthBytes: number): void;
  __wbindgen_add_to_stack_pointer(change: number): number;
  __wbindgen_malloc(lengthBytes: number): number;
  __wbindgen_free(at: number, lengthBytes: number): void;
}

/** Loads and compiles the library. Throws `kernel-unavailable` when its chunk or the platform fails. */
export async function loadLz4(): Promise<Codec> {
  try {
    const { HEX } = await import('./generated/lz4.ts');
    // Safe: the build writes hexadecimal.
    return new Lz4(await WebAssembly.compile(fromHex(HEX)!));
  } catch (cause) {
    throw new VitrineError('kernel-unavailable', { codec: 'lz4' }, { cause });
  }
}

class Lz4 implements Codec {
  readonly id = LZ4_ID;
  readonly name = 'lz4';
  readonly #module: WebAssembly.Module;
  #exports: Lz4Exports;
  /** What the last call gave out, in the library's memory. */
  #lent: { readonly at: number; readonly lengthBytes: number } | undefined;

  constructor(module: WebAssembly.Module) {
    this.#module = module;
    this.#exports = instantiate(module);
  }

  /** There is one way of encoding here: the effort makes no difference. */
  encode(bytes: Uint8Array): Uint8Array {
    // Safe: compressing does not fail.
    return this.#call('compress', bytes, 0, bytes.length)!;
  }

  decode(bytes: Uint8Array, plainLength: number): OwnedBytes {
    const data = { codec: 'lz4', lengthBytes: bytes.length, plainLength };
    if (bytes.length > MAX_ENCODED_BYTES || plainLength > LIMITS.frameBytes) {
      throw new VitrineError('codec-damaged', data);
    }
    let plain: Uint8Array | undefined;
    try {
      plain = this.#call('decompress', bytes, LENGTH_BYTES, plainLength);
    } catch (cause) {
      // A trap, which 200,000 damaged blocks did not cause. It would leave the module half way: it is made anew.
      this.#exports = instantiate(this.#module);
      this.#lent = undefined;
      throw new VitrineError('codec-damaged', data, { cause });
    }
    if (plain?.length !== plainLength) throw new VitrineError('codec-damaged', data);
    return plain.slice();
  }

  /**
   * Calls the library on `bytes`, after a prefix of the plain length if any; undefined when it says no. What it gives is valid until the
   * next call.
   */
  #call(
    name: 'compress' | 'decompress',
    bytes: Uint8Array,
    prefixBytes: 0 | typeof LENGTH_BYTES,
    plainLength: number,
  ): Uint8Array | undefined {
    const exports = this.#exports;
    // What was lent and comes back, as when it is decoded at once.
    const given = bytes.buffer === exports.memory.buffer ? copyBytes(bytes) : bytes;
    if (this.#lent !== undefined) exports.__wbindgen_free(this.#lent.at, this.#lent.lengthBytes);
    this.#lent = undefined;
    const argumentBytes = prefixBytes + bytes.length;
    // The library frees its argument itself.
    const at = exports.__wbindgen_malloc(argumentBytes);
    const argument = new Uint8Array(exports.memory.buffer, at, argumentBytes);
    argument.set(given, prefixBytes);
    if (prefixBytes !== 0) new DataView(exports.memory.buffer).setUint32(at, plainLength, true);
    const result = exports.__wbindgen_add_to_stack_pointer(-RESULT_BYTES);
    exports[name](result, at, argumentBytes);
    // The call may have grown the memory: views are taken anew.
    const [outAt = 0, outBytes = 0, , failed] = new Uint32Array(exports.memory.buffer, result, 4);
    exports.__wbindgen_add_to_stack_pointer(RESULT_BYTES);
    // Only decompressing writes this word; it has freed what it had then.
    if (name === 'decompress' && failed !== 0) return undefined;
    // What compressing puts in front of the block is left out.
    const skipped = LENGTH_BYTES - prefixBytes;
    this.#lent = { at: outAt, lengthBytes: outBytes };
    return new Uint8Array(exports.memory.buffer, outAt + skipped, outBytes - skipped);
  }
}

function instantiate(module: WebAssembly.Module): Lz4Exports {
  // The library's one import makes an error text; that it was called is all we tell.
  const imports = { './lz4_wasm_bg.js': { __wbindgen_string_new: () => 0 } };
  // Safe: the pinned package exports these, and a test looks.
  return new WebAssembly.Instance(module, imports).exports as unknown as Lz4Exports;
}
