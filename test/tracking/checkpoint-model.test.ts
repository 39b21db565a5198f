// A thousand resets against a full copy, from a seed: random runs, saves that succeed or not, restores that are applied,
// given up or refused, checkpoints moved. After each step guest and captured instant are compared with the model.
//
// SEED=… runs other histories; the seed is part of each failure's message.

import { describe, expect, it } from 'vitest';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { DeviceRecord } from '../../src/guest/guest.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { pageCountOf } from '../../src/memory/region.ts';
import { Random } from '../../src/testing/random.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { seedOfRun } from '../support/seed.ts';

const RESETS = 1000;

interface Instant {
  readonly memory: readonly Uint8Array<ArrayBuffer>[];
  readonly devices: readonly DeviceRecord[];
}

class History {
  readonly counts: Record<string, number> = {};
  readonly #random: Random;
  readonly #memory: readonly Uint8Array<ArrayBuffer>[];
  readonly #guest: FlatGuest;
  readonly #saved: Instant[] = [];
  #tracker!: ScanTracker;
  #point!: Instant;
  /** What the next save's changes are told from. */
  #base!: Instant;

  constructor(seed: number, tracking: 'none' | 'marks') {
    this.#random = new Random(seed);
    // Sizes that end inside a page, pages of several sizes, and more than one chunk.
    this.#memory = [new Uint8Array(70_001), new Uint8Array(300_000), new Uint8Array(0)];
    const sizes = [256, 4096, 1024];
    this.#guest = new FlatGuest({
      regions: this.#memory.map((bytes, i) => ({ name: `r${i}`, bytes, pageBytes: sizes[i]! })),
      tracking,
      seed,
    });
    this.#base = { memory: this.#memory.map((bytes) => new Uint8Array(bytes.length)), devices: [] };
  }

  async run(): Promise<void> {
    this.#tracker = await openScanTracker(this.#guest, { openKernels: () => loadKernels() });
    await this.#checkpoint();
    while ((this.counts.reset ?? 0) < RESETS) {
      this.#guest.run(this.#random.below(60));
      const dice = this.#random.below(100);
      if (dice < 80) await this.#reset();
      else if (dice < 90) await this.#save();
      else if (dice < 97) await this.#restore();
      else await this.#checkpoint();
    }
  }

  async #checkpoint(): Promise<void> {
    this.#count('checkpoint');
    await this.#tracker.checkpoint();
    this.#point = await this.#now();
  }

  async #reset(): Promise<void> {
    this.#count('reset');
    if (this.#random.chance(0.5)) this.#tracker.resetNow();
    else await this.#tracker.resetToCheckpoint();
    this.#compare(await this.#now(), this.#point, 'the point');
  }

  async #save(): Promise<void> {
    const succeeds = this.#random.chance(0.7);
    this.#count(succeeds ? 'save' : 'failed save');
    const now = await this.#now();
    const { changed } = await this.#tracker.capture({ full: false });
    // The guest runs on, and may go back, before the instant is encoded.
    this.#guest.run(this.#random.below(20));
    const goesBack = this.#random.chance(0.5);
    if (goesBack) this.#tracker.resetNow();
    for (const region of this.#guest.regions) {
      const told = new PageSet(pageCountOf(region), changed[region.id]!);
      const all = PageSet.all(pageCountOf(region));
      const { bytes } = await this.#tracker.readPages(region.id, Uint32Array.from(all));
      this.#same(bytes.subarray(0, region.sizeBytes), now.memory[region.id]!, 'the captured instant');
      for (const page of all) {
        if (told.has(page)) continue;
        const [start, end] = [page * region.pageBytes, (page + 1) * region.pageBytes];
        const base = this.#base.memory[region.id]!.subarray(start, end);
        this.#same(now.memory[region.id]!.subarray(start, end), base, `untold page ${region.id}:${page}`);
      }
    }
    if (goesBack) this.#compare(await this.#now(), this.#point, 'the point, while saving');
    if (!succeeds) return this.#tracker.putBack();
    await this.#tracker.commit();
    this.#base = now;
    this.#saved.push(now);
  }

  async #restore(): Promise<void> {
    const target = this.#saved[this.#random.below(this.#saved.length)];
    if (target === undefined) return;
    const end = this.#random.pick(['applied', 'applied', 'refused', 'given up']);
    this.#count(end);
    const before = await this.#now();
    await this.#tracker.beginRestore({ full: false });
    for (const region of this.#guest.regions) {
      const { pageBytes, sizeBytes } = region;
      const from = target.memory[region.id]!;
      for (const page of PageSet.all(pageCountOf(region))) {
        const bytes = new Uint8Array(pageBytes);
        bytes.set(from.subarray(page * pageBytes, (page + 1) * pageBytes));
        const present = before.memory[region.id]!.subarray(page * pageBytes, (page + 1) * pageBytes);
        // As an engine does: what differs, and here now and then what does not.
        const isEqual = Buffer.compare(present, bytes.subarray(0, sizeBytes - page * pageBytes)) === 0;
        if (isEqual && !this.#random.chance(0.02)) continue;
        await this.#tracker.stagePages(region.id, Uint32Array.of(page), bytes);
      }
    }
    if (end === 'given up') await this.#tracker.abandonRestore();
    else if (end === 'refused') await this.#tracker.applyRestore([]).catch(() => {});
    else {
      await this.#tracker.applyRestore(target.devices);
      this.#base = target;
    }
    this.#compare(await this.#now(), end === 'applied' ? target : before, end);
  }

  async #now(): Promise<Instant> {
    await this.#guest.pause();
    const devices = this.#guest.saveDevices();
    await this.#guest.resume();
    return { memory: this.#memory.map((bytes) => bytes.slice()), devices };
  }

  #compare(actual: Instant, expected: Instant, what: string): void {
    for (const [region, bytes] of actual.memory.entries()) this.#same(bytes, expected.memory[region]!, what);
    this.#same(actual.devices[0]!.bytes, expected.devices[0]!.bytes, `${what}: devices`);
  }

  #same(actual: Uint8Array, expected: Uint8Array, what: string): void {
    if (Buffer.compare(actual, expected) === 0) return;
    expect.fail(`differs from ${what}; SEED=${this.#random.seed} ${JSON.stringify(this.counts)}`);
  }

  #count(verb: string): void {
    this.counts[verb] = (this.counts[verb] ?? 0) + 1;
  }
}

describe.each(['none', 'marks'] as const)('a guest that marks %s', (tracking) => {
  it('is after each of a thousand resets exactly where it was', async () => {
    const history = new History(seedOfRun(), tracking);
    await history.run();
    for (const verb of ['save', 'failed save', 'applied', 'refused', 'given up', 'checkpoint']) {
      expect(history.counts[verb] ?? 0, `${verb}; SEED=${seedOfRun()}`).toBeGreaterThan(2);
    }
  });
});
