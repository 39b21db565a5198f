// The bytes of a WebAssembly module that the bundler put into the code. A file beside the code would be a third
// smaller on the wire, but is found differently by a page, a worker, Node and a foreign bundler.

import { assert } from '../base/assert.ts';
import type { OwnedBytes } from '../base/bytes.ts';

/** Decodes `data:…;base64,…`. */
export function bytesOfDataUrl(url: string): OwnedBytes {
  const comma = url.indexOf(',');
  assert(
    url.startsWith('data:') && url.slice(0, comma).endsWith(';base64'),
    'the bundler inlined the module',
  );
  const text = atob(url.slice(comma + 1));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
