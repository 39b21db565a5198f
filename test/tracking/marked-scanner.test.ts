// A scanner that looks at marked pages alone, against the guest's memory: what it knows of each page after a scan is what the guest
// holds, whatever failed before, was learned, or was marked and never looked at.

import { describe, expect, it } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { codeOf, whilePaused } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import type { DigestScanner } from '../../src/tracking/digest-scanner.ts';
import { MarkedScanner } from '../../src/tracking/marked-scanner.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGE = 4096;
const COUNTS = [37, 90];

/** Knows the first byte of each page in place of a digest; looks at what it is told to. */
class ByteScanner implements DigestScanner {
  readonly known = COUNTS.map((count) => new Uint8Array(count));
  readonly #parts: readonly Uint8Array[];
  looked = 0;
  /** Ends with an error after so many pages. */
  failsAfter = Number.POSITIVE_INFINITY;

  constructor(parts: readonly Uint8Array[]) {
    this.#parts = parts;
  }

  async findNonZero(): Promise<void> {
    throw new Error('nobody asks here');
  }

  fileOf(): undefined {}

  async scan(
    changed: readonly PageSet[],
    keep?: readonly PageSet[],
    only?: readonly PageSet[],
  ): Promise<void> {
    this.looked = 0;
    for (const [region, known] of this.known.entries()) {
      for (let page = 0; page < known.length; page++) {
        if (only !== undefined && !only[region]!.has(page) && !(keep?.[region]?.has(page) ?? false)) continue;
        if (this.looked++ === this.failsAfter) throw new VitrineError('worker-lost', { reason: 'planned' });
        const held = this.#parts[region]![page * PAGE]!;
        if (known[page] === held) continue;
        changed[region]!.add(page);
        known[page] = held;
      }
    }
  }

  async soundOut(changed: readonly PageSet[]): Promise<number> {
    await this.scan(changed);
    return 1_000;
  }

  kept = () => undefined;
  isZero = (region: number, page: number) => this.known[region]![page] === 0;
  holds = () => false;
  learn(region: number, page: number, digest: Uint8Array): void {
    this.known[region]![page] = digest[0]!;
  }
  digest(): never {
    throw new Error('not asked for');
  }
}

function openGuest(auditScans?: number) {
  const parts = COUNTS.map((count) => new Uint8Array(count * PAGE));
  const guest = new FlatGuest({
    regions: parts.map((bytes, id) => ({ name: `ram-${id}`, bytes, guestAddress: null })),
    tracking: 'marks',
  });
  if (auditScans !== undefined) {
    Object.defineProperty(guest, 'traits', { value: { ...guest.traits, auditScans } });
  }
  const scanner = new ByteScanner(parts);
  return { guest, parts, scanner, marked: new MarkedScanner(guest, scanner) };
}

const sets = (): PageSet[] => COUNTS.map((count) => new PageSet(count));

describe('a scanner of marked pages', () => {
  it('leaves marks to the scan when it is asked how much changed', async () => {
    const { guest, scanner, marked } = openGuest();
    await marked.scan(sets());
    await guest.pause();
    guest.writePages({ region: 0, offsetBytes: 5 * PAGE, lengthBytes: 1 }, Uint8Array.of(77));
    await guest.resume();
    guest.run(40);
    const about = sets();
    expect(await marked.soundOut(about)).toBe(1_000);
    const found = sets();
    await marked.scan(found);
    // All that was written is looked at once more, and held what it holds already.
    expect(scanner.looked).toBeGreaterThanOrEqual(about.reduce((sum, { size }) => sum + size, 0));
    expect(about[0]!.has(5)).toBe(true);
    expect(found).toEqual(sets());
  });

  it('knows after each scan what the guest holds, and tells each page that became another', async () => {
    const random = new Random(seedOfRun());
    const { guest, parts, scanner, marked } = openGuest();
    const write = (region: number, page: number, byte: number) =>
      whilePaused(guest, () =>
        guest.writePages({ region, offsetBytes: page * PAGE, lengthBytes: 1 }, Uint8Array.of(byte)),
      );
    let before = scanner.known.map((known) => known.slice());
    let isSeen = false;
    const told = sets();
    /** Of these, what is known is no longer what was seen. */
    const learned = sets();
    for (let round = 0; round < 300; round++) {
      for (let count = random.below(6); count > 0; count--) {
        const region = random.below(2);
        const page = random.below(COUNTS[region]!);
        const byte = random.below(4);
        // What it shall hold, and then it does not come about.
        if (random.chance(0.2)) {
          marked.learn(region, page, Uint8Array.of(byte));
          learned[region]!.add(page);
        } else await write(region, page, byte);
        if (random.chance(0.2)) {
          marked.learn(region, page, parts[region]!.subarray(page * PAGE), true);
          learned[region]!.add(page);
        }
      }
      scanner.failsAfter = random.chance(0.2) ? random.below(4) : Number.POSITIVE_INFINITY;
      const failed = await codeOf(() => marked.scan(told, random.chance(0.3) ? sets() : undefined));
      if (failed !== 'none') continue;
      for (const [region, known] of scanner.known.entries()) {
        for (let page = 0; page < known.length; page++) {
          const place = `page ${page} of ${region}, round ${round}`;
          expect(known[page], place).toBe(parts[region]![page * PAGE]);
          if (known[page] === before[region]![page] || learned[region]!.has(page)) continue;
          expect(told[region]!.has(page), place).toBe(true);
        }
      }
      // The first one that comes to its end looks at all: nobody has seen any of them.
      if (isSeen) expect(scanner.looked).toBeLessThan(40);
      isSeen = true;
      before = scanner.known.map((known) => known.slice());
      for (const pages of [...told, ...learned]) pages.clear();
    }
    expect(before.flatMap((known) => [...known]).some((byte) => byte !== 0)).toBe(true);
  });

  it('looks at all pages until the marks are proven, and for good where one was missing', async () => {
    const { guest, parts, scanner, marked } = openGuest(2);
    await marked.scan(sets());
    const write = (page: number) =>
      whilePaused(guest, () =>
        guest.writePages({ region: 0, offsetBytes: page * PAGE, lengthBytes: 1 }, Uint8Array.of(7)),
      );
    await write(3);
    await marked.scan(sets());
    expect(scanner.looked).toBe(COUNTS[0]! + COUNTS[1]!);
    expect(marked.tier).toMatchObject({ tier: 'marks' });
    // Behind its back.
    parts[1]![5 * PAGE] = 9;
    const changed = sets();
    await marked.scan(changed);
    expect([...changed[1]!]).toEqual([5]);
    expect(marked.tier).toMatchObject({
      tier: 'scan',
      tierReason: expect.stringContaining('page 5 of region 1'),
    });
    await write(4);
    await marked.scan(sets());
    expect(scanner.looked).toBe(COUNTS[0]! + COUNTS[1]!);
  });
});
