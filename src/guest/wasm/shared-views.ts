// What browsers do not do with views on shared memory (Chromium 156, Firefox 140): decode text, fill with random numbers. Loaders
// pass their program's memory to both as it is; here they get functions that copy first.
//
// `catchInstance` gives the decoder to what is loaded into shared memory, where loaders make theirs. One that was made before,
// and random numbers, need `acceptSharedViews`, which changes the platform's own functions for all code of the thread.

import { isShared } from '../../memory/shared-memory.ts';

/** `TextDecoder`, taking shared bytes too. */
export function copyingDecoder(Decoder: typeof TextDecoder): typeof TextDecoder {
  return class extends Decoder {
    override decode(input?: AllowSharedBufferSource, options?: TextDecodeOptions): string {
      return super.decode(input === undefined ? input : ownInput(input), options);
    }
  };
}

/** Runs `load`, which finds the decoder that copies in place of the platform's. */
export async function withCopyingDecoder<T>(load: () => Promise<T>): Promise<T> {
  const { TextDecoder } = globalThis;
  globalThis.TextDecoder = copyingDecoder(TextDecoder);
  try {
    return await load();
  } finally {
    globalThis.TextDecoder = TextDecoder;
  }
}

/**
 * Lets every `TextDecoder` and `crypto.getRandomValues` of this thread take views on shared memory, by copying. For programs in
 * shared memory whose loader made its decoder before `catchInstance` (wasm-bindgen does as it is imported), or asks for
 * random numbers in place. Others see no difference, but that what threw does not throw any more.
 *
 * Returns what puts the platform's functions back.
 */
export function acceptSharedViews(): () => void {
  const { decode } = TextDecoder.prototype;
  const { getRandomValues } = Crypto.prototype;
  TextDecoder.prototype.decode = function (input, options) {
    return decode.call(this, input === undefined ? input : ownInput(input), options);
  };
  Crypto.prototype.getRandomValues = function <T extends ArrayBufferView>(view: T): T {
    if (!isShared(view.buffer)) return getRandomValues.call(this, view as never) as T;
    const random = new Uint8Array(view.byteLength);
    getRandomValues.call(this, random);
    new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(random);
    return view;
  };
  return () => {
    TextDecoder.prototype.decode = decode;
    Crypto.prototype.getRandomValues = getRandomValues;
  };
}

function ownInput(input: AllowSharedBufferSource): AllowSharedBufferSource {
  if (!ArrayBuffer.isView(input)) return isShared(input) ? new Uint8Array(input).slice() : input;
  if (!isShared(input.buffer)) return input;
  return new Uint8Array(input.buffer, input.byteOffset, input.byteLength).slice();
}
