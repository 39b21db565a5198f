// Device records by their names, when they are those that are expected.

import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import type { DeviceRecord } from '../guest.ts';

/** The records by name; throws `guest-state-invalid` unless each is there once, in its version, and no other is. */
export function recordsByName(
  records: readonly DeviceRecord[],
  expected: ReadonlyMap<string, number>,
): ReadonlyMap<string, OwnedBytes> {
  const found = new Map<string, OwnedBytes>();
  for (const { name, version, bytes } of records) {
    if (expected.get(name) !== version || found.has(name)) {
      throw new VitrineError('guest-state-invalid', {
        record: name,
        version,
        expected: expected.get(name) ?? null,
      });
    }
    found.set(name, bytes);
  }
  for (const name of expected.keys()) {
    if (!found.has(name)) throw new VitrineError('guest-state-invalid', { missing: name });
  }
  return found;
}
