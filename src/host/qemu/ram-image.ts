// RAM as a file that machines map privately: nothing that they do reaches it.

import { open } from 'node:fs/promises';
import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';

const PAGE_BYTES = 4096;
const ZERO_PAGE = new Uint8Array(PAGE_BYTES);

/**
 * Writes an image of `sizeBytes` anew; `read` gives its pieces, valid until the next call. What is zero takes no room in it.
 *
 * Throws `memory-exhausted` where it finds none, and what `read` throws.
 */
export async function writeRamImage(
  path: string,
  sizeBytes: number,
  read: (offsetBytes: number, lengthBytes: number) => Uint8Array | Promise<Uint8Array>,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.truncate(sizeBytes);
    for (let offset = 0; offset < sizeBytes; offset += MIB) {
      const bytes = await read(offset, Math.min(MIB, sizeBytes - offset));
      for (const { from, to } of filledRuns(bytes)) await file.write(bytes, from, to - from, offset + from);
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOSPC') throw cause;
    throw new VitrineError('memory-exhausted', { bytes: sizeBytes }, { cause });
  } finally {
    await file.close();
  }
}

/** Where pages lie that are not all zeros, neighbours together: a call of the system costs more than its page. */
function* filledRuns(bytes: Uint8Array): Generator<{ readonly from: number; readonly to: number }> {
  let from = -1;
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
    const isZero = isZeroPage(bytes.subarray(at, at + PAGE_BYTES));
    if (!isZero && from < 0) from = at;
    if (isZero && from >= 0) {
      yield { from, to: at };
      from = -1;
    }
  }
  if (from >= 0) yield { from, to: bytes.length };
}

/** Whether a page, or the rest of one, is all zeros. */
export function isZeroPage(page: Uint8Array): boolean {
  return Buffer.compare(page, ZERO_PAGE.subarray(0, page.length)) === 0;
}
