// Device records as a damaged or foreign snapshot brings them.

import { concatBytes } from '../../base/bytes.ts';
import type { DeviceRecord } from '../../guest/guest.ts';

export interface DamagedRecords {
  /** What is wrong, for the test's message. */
  readonly how: string;
  readonly records: readonly DeviceRecord[];
  /** A changed byte may be another good state; a list of the wrong shape never is. */
  readonly mustRefuse: boolean;
}

/** Bytes of a record that are changed one at a time: all of a small one, a spread of a large one. */
const CHANGED_BYTES = 64;

/** Every way to damage `good`, one at a time. */
export function* damagedRecords(good: readonly DeviceRecord[]): Generator<DamagedRecords> {
  const wrong = (how: string, records: readonly DeviceRecord[]) => ({ how, records, mustRefuse: true });
  yield wrong('unknown record', [...good, { name: 'no-such-device', version: 1, bytes: new Uint8Array(4) }]);
  if (good.length > 0) yield wrong('no records', []);
  for (const [index, record] of good.entries()) {
    const { name, version, bytes } = record;
    const replaced = (change: Partial<DeviceRecord>) => good.with(index, { ...record, ...change });
    yield wrong(`${name} missing`, good.toSpliced(index, 1));
    yield wrong(`${name} twice`, [...good, record]);
    yield wrong(`${name} renamed`, replaced({ name: `${name}-x` }));
    yield wrong(`${name} of version ${version + 1}`, replaced({ version: version + 1 }));
    yield wrong(`${name} of version 0`, replaced({ version: 0 }));
    yield wrong(`${name} with a byte more`, replaced({ bytes: concatBytes([bytes, Uint8Array.of(0)]) }));
    for (const length of new Set([0, 1, bytes.length >> 1, bytes.length - 1])) {
      if (length < 0 || length >= bytes.length) continue;
      yield wrong(`${name} cut to ${length}`, replaced({ bytes: bytes.slice(0, length) }));
    }
    const stride = Math.max(1, Math.floor(bytes.length / CHANGED_BYTES));
    for (let at = 0; at < bytes.length; at += stride) {
      const changed = bytes.slice();
      changed[at]! ^= 0xff;
      yield { how: `${name} changed at ${at}`, records: replaced({ bytes: changed }), mustRefuse: false };
    }
  }
}
