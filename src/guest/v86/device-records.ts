// Device records of a v86 machine by their names, each used once.

import { VitrineError } from '../../base/error.ts';
import type { DeviceRecord } from '../guest.ts';

/** Of all records; v86's own version stands in the machine's description. */
export const RECORD_VERSION = 1;

/** Their bytes. Throws `guest-state-invalid` for another version, and for a name that is there twice. */
export function indexRecords(records: readonly DeviceRecord[]): Map<string, Uint8Array> {
  const byName = new Map<string, Uint8Array>();
  for (const { name, version, bytes } of records) {
    if (version !== RECORD_VERSION) {
      throw new VitrineError('guest-state-invalid', { record: name, version, expected: RECORD_VERSION });
    }
    if (byName.has(name)) throw new VitrineError('guest-state-invalid', { record: name, reason: 'twice' });
    byName.set(name, bytes);
  }
  return byName;
}

/** The record, taken out of the map: what is left at the end belongs to nobody. */
export function takeRecord(byName: Map<string, Uint8Array>, name: string): Uint8Array {
  const bytes = byName.get(name);
  if (bytes === undefined) throw new VitrineError('guest-state-invalid', { record: name, reason: 'missing' });
  byName.delete(name);
  return bytes;
}
