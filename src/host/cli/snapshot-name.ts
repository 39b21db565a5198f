// What a person names a snapshot by: its id, the first digits of it, or its label.

import { isVitrineError, VitrineError } from '../../base/error.ts';
import type { SnapshotInfo } from '../../engine/snapshot.ts';

/** What knows snapshots: a bridge, or an engine over a store. */
interface SnapshotBook {
  show(idOrDigits: string): Promise<Pick<SnapshotInfo, 'id'>>;
  log(): Promise<readonly Pick<SnapshotInfo, 'id' | 'label' | 'machine'>[]>;
}

/** What may be an id, or the first digits of one. */
export const SNAPSHOT_DIGITS = /^[0-9a-f]{1,64}$/;
/** In an error. */
const MOST_CANDIDATES = 8;

/**
 * The id of the snapshot that is called so. Digits go before labels, and snapshots of `machine` before others of the same label.
 *
 * Throws `not-found`, `name-ambiguous`, and what reading throws.
 */
export async function findSnapshot(book: SnapshotBook, name: string, machine?: string): Promise<string> {
  if (SNAPSHOT_DIGITS.test(name)) {
    try {
      return (await book.show(name)).id;
    } catch (error) {
      if (!isVitrineError(error, 'not-found')) throw error;
    }
  }
  // Those without a label have the empty one.
  const labelled = (await book.log()).filter(({ label }) => label === name && label !== '');
  const ofMachine = labelled.filter((one) => one.machine === machine);
  const found = ofMachine.length > 0 ? ofMachine : labelled;
  if (found.length === 0) throw new VitrineError('not-found', { snapshot: name });
  if (found.length === 1) return found[0]!.id;
  const candidates = found.slice(-MOST_CANDIDATES).map(({ id }) => id.slice(0, 12));
  throw new VitrineError('name-ambiguous', { label: name, candidates });
}
