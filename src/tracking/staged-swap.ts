// Putting another instant into a guest without a copy of its memory in this process: pages wait in a staging area and change
// places with the guest's own, so that these can be put back when the guest refuses.
//
//   a page that the guest holds zeros in   written at once; undone by zeros
//   any other page                         staged; at the end it changes places with the guest's
//
// What the scanner knows of a staged page is what the page is to hold. Where the restore does not come about, the next scan
// finds that the guest holds something else, and the page counts as changed.

import type { OwnedBytes } from '../base/bytes.ts';
import type { DeviceRecord, Guest } from '../guest/guest.ts';
import type { PageRun, PageSet } from '../memory/page-set.ts';
import type { DigestScanner, StagingArea } from './digest-scanner.ts';
import { emptySets } from './region-sets.ts';

/** Not the digest of any page that was looked at, as far as anybody will ever see. */
const UNKNOWN = new Uint8Array(32).fill(0xff);
const ZERO = new Uint8Array(32);
/** Pages that change places at a time. */
const SWAP_PAGES = 64;

/** What becomes of a page: the guest holds it already, it goes there at once, or it waits. */
type Way = 'held' | 'direct' | 'staged';

export class StagedSwap {
  readonly #guest: Guest;
  readonly #scanner: DigestScanner;
  readonly #area: StagingArea;
  /** Written into the guest already, where it held zeros. */
  readonly #direct: readonly PageSet[];
  readonly #staged: readonly PageSet[];
  /** Of the staged ones, those that shall hold zeros; they are not in the staging area. */
  readonly #zeros: readonly PageSet[];

  constructor(guest: Guest, scanner: DigestScanner, area: StagingArea) {
    this.#guest = guest;
    this.#scanner = scanner;
    this.#area = area;
    this.#direct = emptySets(guest.regions);
    this.#staged = emptySets(guest.regions);
    this.#zeros = emptySets(guest.regions);
  }

  /** Takes pages for the guest, which is at rest and was looked at. Throws `memory-exhausted`. */
  async stage(region: number, pages: Uint32Array, bytes: OwnedBytes, digests?: Uint8Array): Promise<void> {
    const { pageBytes } = this.#guest.regions[region]!;
    const ways: Way[] = [];
    for (const [index, page] of pages.entries()) {
      const digest = digests?.subarray(index * 32, index * 32 + 32);
      // It holds that already, or will when what waits is put in.
      if (digest !== undefined && this.#scanner.holds(region, page, digest)) {
        ways.push('held');
        continue;
      }
      // Noted first: a write that fails half-way is undone, too.
      if (this.#scanner.isZero(region, page) && !this.#staged[region]!.has(page)) {
        ways.push('direct');
        this.#direct[region]!.add(page);
      } else {
        ways.push('staged');
        this.#staged[region]!.add(page);
        this.#zeros[region]!.delete(page);
      }
      this.#scanner.learn(region, page, digest ?? UNKNOWN);
    }
    for (let at = 0; at < pages.length; ) {
      const first = pages[at]!;
      let count = 1;
      while (ways[at + count] === ways[at] && pages[at + count] === first + count) count++;
      const part = bytes.subarray(at * pageBytes, (at + count) * pageBytes);
      if (ways[at] === 'staged') this.#area.write(region, first, part);
      else if (ways[at] === 'direct') await this.#write(region, { first, count }, part);
      at += count;
    }
  }

  /** As `stage`, of zeros. */
  stageZeros(region: number, pages: Uint32Array): void {
    for (const page of pages) {
      if (this.#scanner.isZero(region, page) && !this.#direct[region]!.has(page)) continue;
      this.#staged[region]!.add(page);
      this.#zeros[region]!.add(page);
      this.#scanner.learn(region, page, ZERO);
    }
  }

  /**
   * Lets staged pages and the guest's change places, and loads the devices. Returns the pages written.
   *
   * On failure memory and devices are as before, and the guest's own error is thrown.
   */
  async apply(devices: readonly DeviceRecord[]): Promise<number> {
    const devicesBefore = await this.#guest.saveDevices();
    const swapped: { readonly region: number; readonly run: PageRun }[] = [];
    let count = this.#direct.reduce((sum, { size }) => sum + size, 0);
    try {
      for (const [region, pages] of this.#staged.entries()) {
        for (const run of pages.runs(SWAP_PAGES)) {
          await this.#swapRun(region, run, () => swapped.push({ region, run }));
          count += run.count;
        }
      }
      await this.#guest.loadDevices(devices);
    } catch (error) {
      for (const { region, run } of swapped.reverse()) await this.#writeStaged(region, run);
      await this.#undoDirect();
      await this.#guest.loadDevices(devicesBefore);
      throw error;
    } finally {
      this.#clear();
    }
    return count;
  }

  /** Gives it up: the guest holds what it held. */
  async abandon(): Promise<void> {
    try {
      await this.#undoDirect();
    } finally {
      this.#clear();
    }
  }

  /** Nothing is put back: the guest is gone. */
  forget(): void {
    this.#clear();
  }

  async #swapRun(region: number, run: PageRun, written: () => void): Promise<void> {
    const { pageBytes } = this.#guest.regions[region]!;
    const before = new Uint8Array(run.count * pageBytes);
    const after = new Uint8Array(run.count * pageBytes);
    await this.#guest.readPages(this.#spanOf(region, run), before.subarray(0, this.#lengthOf(region, run)));
    this.#readStaged(region, run, after);
    this.#area.write(region, run.first, before);
    // From here on the staging area holds what the guest held.
    written();
    await this.#write(region, run, after);
  }

  /** What the pages of a run are to hold, into zeros. */
  #readStaged(region: number, run: PageRun, into: Uint8Array): void {
    const { pageBytes } = this.#guest.regions[region]!;
    const zeros = this.#zeros[region]!;
    for (let index = 0; index < run.count; ) {
      let end = index + 1;
      const isZero = zeros.has(run.first + index);
      while (end < run.count && zeros.has(run.first + end) === isZero) end++;
      if (!isZero)
        this.#area.read(region, run.first + index, into.subarray(index * pageBytes, end * pageBytes));
      index = end;
    }
  }

  async #writeStaged(region: number, run: PageRun): Promise<void> {
    const { pageBytes } = this.#guest.regions[region]!;
    const bytes = new Uint8Array(run.count * pageBytes);
    this.#area.read(region, run.first, bytes);
    await this.#write(region, run, bytes);
  }

  async #undoDirect(): Promise<void> {
    for (const [region, pages] of this.#direct.entries()) {
      const { pageBytes } = this.#guest.regions[region]!;
      for (const run of pages.runs(SWAP_PAGES)) {
        await this.#write(region, run, new Uint8Array(run.count * pageBytes));
      }
    }
  }

  async #write(region: number, run: PageRun, bytes: Uint8Array): Promise<void> {
    const span = this.#spanOf(region, run);
    await this.#guest.writePages(span, bytes.subarray(0, span.lengthBytes));
  }

  #spanOf(region: number, run: PageRun) {
    const { pageBytes } = this.#guest.regions[region]!;
    return { region, offsetBytes: run.first * pageBytes, lengthBytes: this.#lengthOf(region, run) };
  }

  /** The last page of a region may be short. */
  #lengthOf(region: number, { first, count }: PageRun): number {
    const { pageBytes, sizeBytes } = this.#guest.regions[region]!;
    return Math.min(count * pageBytes, sizeBytes - first * pageBytes);
  }

  #clear(): void {
    for (const sets of [this.#direct, this.#staged, this.#zeros]) for (const pages of sets) pages.clear();
    this.#area.clear();
  }
}
