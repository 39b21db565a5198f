// Device records of another instant: those of this one with the XORs of deltas put in. Records that no delta touches are
// handed on as they are.

import { copyBytes, type OwnedBytes } from '../base/bytes.ts';
import type { DeviceRecord } from '../guest/guest.ts';
import type { DeviceShape } from './intake.ts';
import type { Units } from './units.ts';
import { xorInto } from './xor.ts';

export class RecordComposer {
  readonly #units: Units;
  readonly #records: ReadonlyMap<number, DeviceRecord>;
  readonly #changed = new Map<number, OwnedBytes>();
  readonly #pageBytes: number;

  constructor(units: Units, records: readonly DeviceRecord[]) {
    this.#units = units;
    this.#records = new Map(records.map((record) => [units.ofRecord(record.name).unit, record]));
    this.#pageBytes = units.recordPageBytes;
  }

  /** Puts the XOR of a page in. */
  xor(unit: number, page: number, bytes: Uint8Array): void {
    const at = page * this.#pageBytes;
    xorInto(this.#bytes(unit, at + bytes.length).subarray(at, at + bytes.length), bytes);
  }

  /** The records of that shape. */
  finish(shape: readonly DeviceShape[]): DeviceRecord[] {
    return shape.map(({ name, version, lengthBytes }) => {
      const { unit } = this.#units.ofRecord(name);
      const known = this.#records.get(unit);
      const isKept =
        !this.#changed.has(unit) && known?.bytes.length === lengthBytes && known.version === version;
      if (isKept) return known;
      return { name, version, bytes: this.#bytes(unit, lengthBytes).slice(0, lengthBytes) };
    });
  }

  /** A copy of a record with room for at least so many bytes, zeros where it has none. */
  #bytes(unit: number, lengthBytes: number): OwnedBytes {
    let bytes = this.#changed.get(unit) ?? copyBytes(this.#records.get(unit)?.bytes ?? new Uint8Array(0));
    if (bytes.length < lengthBytes) {
      const longer = new Uint8Array(lengthBytes);
      longer.set(bytes);
      bytes = longer;
    }
    this.#changed.set(unit, bytes);
    return bytes;
  }
}
