// Verifying: every node and page that a snapshot reaches is read and proven by its digest.

import { toHex } from '../base/bytes.ts';
import { type ErrorCode, isVitrineError } from '../base/error.ts';
import { throwIfAborted, type WorkOptions } from '../base/work.ts';
import { type Digest, digestKey } from '../format/digest.ts';
import type { EngineParts } from './engine-parts.ts';
import type { Base } from './save.ts';

const BATCH_OBJECTS = 256;

/** What was read, and what of it is lost. */
export interface VerifyReport {
  readonly objectsRead: number;
  readonly damaged: readonly { readonly where: string; readonly object: string; readonly code: ErrorCode }[];
}

export async function verifySnapshot(
  parts: EngineParts,
  snapshot: Base,
  options: WorkOptions,
): Promise<VerifyReport> {
  const seen = new Set<string>();
  const damaged: { where: string; object: string; code: ErrorCode }[] = [];
  for (const table of [...snapshot.manifest.regions, ...snapshot.manifest.devices]) {
    const digests: Digest[] = [];
    const enter = (digest: Digest): boolean => {
      const key = digestKey(digest);
      if (seen.has(key)) return false;
      seen.add(key);
      digests.push(digest.slice());
      return true;
    };
    try {
      await parts.tables.visit(table, enter);
    } catch (error) {
      if (!isVitrineError(error)) throw error;
      damaged.push({ where: table.name, object: toHex(table.root), code: error.code });
    }
    for (let first = 0; first < digests.length; first += BATCH_OBJECTS) {
      throwIfAborted(options.signal);
      await readEach(parts, digests.slice(first, first + BATCH_OBJECTS), table.name, damaged);
      options.onProgress?.({ phase: 'verify', done: seen.size, total: 0, unit: 'objects' });
    }
  }
  return { objectsRead: seen.size, damaged };
}

/** Reads a batch at once, and one by one only when something in it is damaged. */
async function readEach(
  parts: EngineParts,
  digests: readonly Digest[],
  where: string,
  damaged: { where: string; object: string; code: ErrorCode }[],
): Promise<void> {
  try {
    await parts.objects.readMany(digests);
    return;
  } catch (error) {
    if (!isVitrineError(error)) throw error;
  }
  for (const digest of digests) {
    try {
      await parts.objects.read(digest);
    } catch (error) {
      if (!isVitrineError(error)) throw error;
      damaged.push({ where, object: toHex(digest), code: error.code });
    }
  }
}
