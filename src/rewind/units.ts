// What has pages in a delta: the guest's regions, by their ids, and device records, each as pages of 1 KiB under a number
// that it keeps for the life of the history. So a record that hardly changes costs what changed in it.

import { KIB } from '../base/limits.ts';
import type { Region } from '../memory/region.ts';

const RECORD_PAGE_BYTES = KIB;

export interface Unit {
  readonly unit: number;
  readonly pageBytes: number;
}

export class Units {
  readonly #regions: readonly Region[];
  readonly #records = new Map<string, number>();

  /** `recordNames` have the numbers after the regions', in their order. */
  constructor(regions: readonly Region[], recordNames: readonly string[] = []) {
    this.#regions = regions;
    for (const name of recordNames) this.ofRecord(name);
  }

  /** The names of the records, in the order of their numbers. */
  get recordNames(): string[] {
    return [...this.#records.keys()];
  }

  /** A record's unit, a new one for a new name. */
  ofRecord(name: string): Unit {
    let unit = this.#records.get(name);
    if (unit === undefined) {
      unit = this.#regions.length + this.#records.size;
      this.#records.set(name, unit);
    }
    return { unit, pageBytes: RECORD_PAGE_BYTES };
  }

  get recordPageBytes(): number {
    return RECORD_PAGE_BYTES;
  }

  isRegion(unit: number): boolean {
    return unit < this.#regions.length;
  }
}
