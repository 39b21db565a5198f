// Bytes of a known length out of a client's stream, gathered as they come.

import { concatBytes, type OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { BRIDGE_LIMITS } from './bridge-limits.ts';
import type { Call } from './verb.ts';

/**
 * Runs `work` with all that the client streams; what it holds meanwhile counts against its session.
 *
 * Throws `store-object-too-large` before anything is taken, `format-range` when the stream has another length.
 */
export async function withUpload<Result>(
  call: Call,
  lengthBytes: number,
  work: (bytes: OwnedBytes) => Promise<Result>,
): Promise<Result> {
  const { maxStoreObjectBytes: maxObjectBytes } = BRIDGE_LIMITS;
  if (lengthBytes > maxObjectBytes) {
    throw new VitrineError('store-object-too-large', { lengthBytes, maxObjectBytes });
  }
  const release = await call.reserve(lengthBytes);
  try {
    const parts: OwnedBytes[] = [];
    let held = 0;
    for await (const bytes of call.input) {
      held += bytes.length;
      if (held > lengthBytes) break;
      parts.push(bytes);
    }
    if (held !== lengthBytes) {
      throw new VitrineError('format-range', { record: 'upload', field: 'length', value: held });
    }
    return await work(concatBytes(parts));
  } finally {
    release();
  }
}
