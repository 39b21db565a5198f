// What changed between two instants, gathered while the guest goes on: the pages that the mirror lost since the last one,
// and the device records of the last one. At a take the lost pages are XORed with what the mirror holds now.
//
// Nothing is encoded here: a take runs while the tracker stands still, and a hundred pages take a tenth of a millisecond.

import type { DeviceRecord } from '../guest/guest.ts';
import { BlockPool } from './block-pool.ts';
import type { Units } from './units.ts';
import { sameBytes, xorInto } from './xor.ts';

/** What the device records of an instant look like, in the guest's order. */
export interface DeviceShape {
  readonly name: string;
  readonly version: number;
  readonly lengthBytes: number;
}

/** XORs of the pages of one unit, by page. */
export type ChangedPages = ReadonlyMap<number, Uint8Array>;

/** What one instant differs in from the one before. Its bytes are given back with `release`. */
export interface Change {
  /** By unit; a unit without changes may be missing. */
  readonly units: ReadonlyMap<number, ChangedPages>;
  /** Whether memory changed, or records alone. */
  readonly touchesMemory: boolean;
  /** The records of the later instant. */
  readonly devices: readonly DeviceRecord[];
  readonly shape: readonly DeviceShape[];
  release(): void;
}

export class Intake {
  readonly #units: Units;
  #lost = new LostPages();
  #spare: LostPages | null = new LostPages();
  #devices: readonly DeviceRecord[] = [];
  #shape: readonly DeviceShape[] = [];

  constructor(units: Units) {
    this.#units = units;
  }

  /** Records of the instant last taken or settled at. */
  get devices(): readonly DeviceRecord[] {
    return this.#devices;
  }

  get shape(): readonly DeviceShape[] {
    return this.#shape;
  }

  /** The mirror is about to take another content for a page of a region. */
  lose(region: number, page: number, bytes: Uint8Array): void {
    this.#lost.keep(region, page, bytes);
  }

  /** From now on changes are told from this instant, which the mirror holds. */
  settleAt(devices: readonly DeviceRecord[]): void {
    this.#lost.clear();
    this.#setDevices(devices);
  }

  /** As `settleAt`, with what changed since. `page` reads the mirror. */
  take(devices: readonly DeviceRecord[], page: (region: number, page: number) => Uint8Array): Change {
    const lost = this.#lost;
    this.#lost = this.#spare ?? new LostPages();
    this.#spare = null;
    for (const [region, pages] of lost.units) {
      for (const [index, old] of pages) if (!xorInto(old, page(region, index))) pages.delete(index);
    }
    const touchesMemory = [...lost.units.values()].some((pages) => pages.size > 0);
    const before = this.#devices;
    this.#setDevices(devices);
    const missing = new Map(before.map((record) => [record.name, record]));
    for (const record of devices) {
      this.#takeRecord(lost, record.name, missing.get(record.name)?.bytes ?? NOTHING, record.bytes);
      missing.delete(record.name);
    }
    for (const { name, bytes } of missing.values()) this.#takeRecord(lost, name, bytes, NOTHING);
    return {
      units: lost.units,
      touchesMemory,
      devices,
      shape: this.#shape,
      release: () => {
        lost.clear();
        this.#spare = lost;
      },
    };
  }

  /** Keeps the XOR of two records where they differ; what one has too little counts as zeros. */
  #takeRecord(lost: LostPages, name: string, before: Uint8Array, after: Uint8Array): void {
    if (before === after) return;
    const { unit, pageBytes } = this.#units.ofRecord(name);
    const lengthBytes = Math.max(before.length, after.length);
    for (let at = 0; at < lengthBytes; at += pageBytes) {
      const end = at + pageBytes;
      const [a, b] = [before.subarray(at, end), after.subarray(at, end)];
      if (a.length === b.length && sameBytes(a, b)) continue;
      const into = lost.add(unit, at / pageBytes, pageBytes);
      into.fill(0);
      into.set(a);
      xorInto(into.subarray(0, b.length), b);
      if (into.every((byte) => byte === 0)) lost.units.get(unit)?.delete(at / pageBytes);
    }
  }

  #setDevices(devices: readonly DeviceRecord[]): void {
    this.#devices = devices;
    const isSame =
      devices.length === this.#shape.length &&
      devices.every(({ name, version, bytes }, index) => {
        const shape = this.#shape[index]!;
        return shape.name === name && shape.version === version && shape.lengthBytes === bytes.length;
      });
    if (isSame) return;
    this.#shape = devices.map(({ name, version, bytes }) => ({ name, version, lengthBytes: bytes.length }));
  }
}

const NOTHING = new Uint8Array(0);

/** Pages by unit, in blocks that are used again. */
class LostPages {
  readonly units = new Map<number, Map<number, Uint8Array>>();
  readonly #pool = new BlockPool();

  /** Keeps a copy, unless there is one: what the instant held is what was lost first. */
  keep(unit: number, page: number, bytes: Uint8Array): void {
    if (this.units.get(unit)?.has(page)) return;
    this.add(unit, page, bytes.length).set(bytes);
  }

  add(unit: number, page: number, lengthBytes: number): Uint8Array {
    let pages = this.units.get(unit);
    if (pages === undefined) {
      pages = new Map();
      this.units.set(unit, pages);
    }
    const bytes = this.#pool.allocate(lengthBytes);
    pages.set(page, bytes);
    return bytes;
  }

  clear(): void {
    this.units.clear();
    this.#pool.clear();
  }
}
