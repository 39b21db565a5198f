// The pages and records of another instant, from the deltas on the way there.

import { LIMITS } from '../base/limits.ts';
import type { Codecs } from '../codec/codec.ts';
import type { DeviceRecord } from '../guest/guest.ts';
import type { Departure } from '../tracking/follower.ts';
import { type Breathe, type Delta, DeltaReader } from './delta.ts';
import type { DeviceShape } from './intake.ts';
import { RecordComposer } from './record-composer.ts';
import type { Units } from './units.ts';
import { xorInto } from './xor.ts';

export interface Journey {
  /** Records of where it starts, exactly. */
  readonly devices: readonly DeviceRecord[];
  readonly way: readonly Delta[];
  /** Of the records where it ends. */
  readonly shape: readonly DeviceShape[];
}

/** Puts the pages of where the way ends, and answers with its records. Throws `codec-damaged`, `codec-unknown`. */
export async function composeArrival(
  here: Departure,
  { devices, way, shape }: Journey,
  units: Units,
  codecs: Codecs,
  breathe: Breathe,
): Promise<DeviceRecord[]> {
  const records = new RecordComposer(units, devices);
  const scratch = new Uint8Array(LIMITS.maxPageBytes);
  for (const delta of way) {
    const reader = new DeltaReader(delta, codecs);
    for (let frames = 0; reader.next(); ) {
      const { unit, page, bytes } = reader;
      if (units.isRegion(unit)) {
        const whole = scratch.subarray(0, bytes.length);
        whole.set(here.page(unit, page));
        xorInto(whole, bytes);
        here.put(unit, page, whole);
      } else records.xor(unit, page, bytes);
      if (reader.framesRead === frames) continue;
      frames = reader.framesRead;
      await breathe();
    }
  }
  return records.finish(shape);
}

/** Records told from nothing. They are none when a delta of them is composed upon no records. */
export function composeRecords(
  delta: Delta,
  shape: readonly DeviceShape[],
  units: Units,
  codecs: Codecs,
): DeviceRecord[] {
  const records = new RecordComposer(units, []);
  const reader = new DeltaReader(delta, codecs);
  while (reader.next()) records.xor(reader.unit, reader.page, reader.bytes);
  return records.finish(shape);
}
