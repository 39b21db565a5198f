// Live captures without a copy of memory: what is saved is the instant that was sent, whatever came twice, in whatever order and
// however little room there is; and a capture that breaks off leaves the guest running and nothing forgotten.

import { describe, expect, it } from 'vitest';
import type { OwnedBytes } from '../../src/base/bytes.ts';
import { VitrineError } from '../../src/base/error.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import type { Region } from '../../src/memory/region.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { Random } from '../../src/testing/random.ts';
import type { DigestScanner } from '../../src/tracking/digest-scanner.ts';
import { StreamedPages } from '../../src/tracking/streamed-pages.ts';
import { faulty } from '../support/faulty-store.ts';
import { FiledGuests } from '../support/filed-guests.ts';
import { expectSame } from '../support/same.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGES = 300;
const PAGE = 4096;

const filed = new FiledGuests(PAGES);

describe('a live capture by digests', () => {
  it('saves the instant that was sent last, time after time, with room for hardly a page', async () => {
    const random = new Random(seedOfRun());
    for (const partPages of [3, 40, 1000]) {
      const { guest, machine, memory } = await filed.open({ partPages, fewPages: 3 });
      for (let round = 0; round < 5; round++) {
        guest.stepsWhenSent = random.below(3);
        guest.run(random.below(300));
        // Pages become zeros, and become again what they were, while they are sent.
        const page = random.below(PAGES);
        const was = memory.slice(page * PAGE, (page + 1) * PAGE);
        guest.onSend = (sent) => {
          if (sent === 100) memory.fill(0, page * PAGE, (page + 1) * PAGE);
          if (sent === 350) memory.set(was, page * PAGE);
        };
        const full = random.chance(0.2);
        const { snapshot, live } = await machine.save({ live: {}, full });
        expect(live).toMatchObject({ mode: 'stream', pauseMs: 1 });
        expect(guest.rests).toBe(0);
        expectSame(await filed.memoryOf(snapshot.id, memory.length), guest.instant);
        const kept = guest.instant;
        guest.onSend = () => {};
        if (random.chance(0.5)) {
          // What a save at rest finds afterwards is what was written since, and no more is needed.
          const next = await machine.save();
          expectSame(await filed.memoryOf(next.snapshot.id, memory.length), memory);
        }
        if (random.chance(0.5)) {
          await machine.restore(snapshot.id);
          expectSame(memory, kept);
        }
      }
    }
  });

  it('lets whoever sends wait, so that what it holds does not grow', async () => {
    const pageCount = 30_000;
    const partPages = 512;
    let told = 0;
    let most = 0;
    let stored = 0;
    const regions = [
      { id: 0, name: 'ram', kind: 'ram', guestAddress: 0, sizeBytes: pageCount * PAGE, pageBytes: PAGE },
    ];
    const guest: ConstructorParameters<typeof StreamedPages>[0]['guest'] = {
      regions: regions as readonly Region[],
      async streamInstant(tell) {
        const page = new Uint8Array(PAGE).fill(1);
        for (; told < pageCount; told++) {
          most = Math.max(most, told - stored);
          await tell(0, told, page);
        }
        return { devices: [], pauseMs: 2 };
      },
    };
    const scanner = {
      holds: () => false,
      digest: async (bytes: OwnedBytes) => ({ bytes, digests: new Uint8Array(bytes.length / 128).fill(7) }),
    };
    const streamed = new StreamedPages({
      ...{ guest, scanner: scanner as unknown as DigestScanner, wanted: [new PageSet(pageCount)] },
      partBytes: partPages * PAGE,
    });
    const seen = new PageSet(pageCount);
    for (;;) {
      const step = await streamed.next();
      if (step.kind === 'refused') throw new Error(step.reason);
      for (const page of step.part.pages()[0]!) seen.add(page);
      if (step.kind === 'end') break;
      stored = seen.size;
    }
    expect(seen.size).toBe(pageCount);
    // Two parts, and 17 batches of 256 on their way.
    expect(most).toBeLessThanOrEqual(2 * partPages + 17 * 256);
    await streamed.end();
  });

  it('hands a page out again that became what it was while it was being stored', async () => {
    const region: Region = {
      ...{ id: 0, name: 'ram', kind: 'ram', guestAddress: 0 },
      ...{ sizeBytes: 4 * PAGE, pageBytes: PAGE },
    };
    const told = [
      [0, 2],
      [1, 2],
      [0, 1],
      [2, 2],
      [2, 1],
      [3, 1],
    ] as const;
    const known = [1, 1, 1, 1];
    const scanner = {
      holds: (_: number, page: number, digest: Uint8Array) => known[page] === digest[0],
      digest: async (bytes: OwnedBytes) => {
        const digests = new Uint8Array(bytes.length / 128);
        for (let at = 0; at < bytes.length; at += PAGE) digests.fill(bytes[at]!, at / 128, at / 128 + 32);
        return { bytes, digests };
      },
    };
    const streamed = new StreamedPages({
      guest: {
        regions: [region],
        async streamInstant(tell) {
          for (const [page, byte] of told) await tell(0, page, new Uint8Array(PAGE).fill(byte));
          return { devices: [], pauseMs: 0 };
        },
      },
      ...{ scanner: scanner as unknown as DigestScanner, wanted: [new PageSet(4)], partBytes: PAGE },
    });
    const handedOut: number[][] = [];
    for (;;) {
      const step = await streamed.next();
      if (step.kind === 'refused') throw new Error(step.reason);
      for (const page of step.part.pages()[0]!) {
        known[page] = step.part.bytesOf(0, page)![0]!;
        handedOut.push([page, known[page]]);
      }
      if (step.kind === 'end') break;
    }
    // The third page came and was taken back before anybody stored it, or was stored twice.
    expect(known).toEqual([1, 2, 1, 1]);
    expect(handedOut.slice(0, 2)).toEqual([
      [0, 2],
      [1, 2],
    ]);
  });

  it('that is given up on the way leaves the guest running, and the next save has everything', async () => {
    const { guest, machine, memory } = await filed.open({ partPages: 4, fewPages: 3 });
    guest.run(200);
    await machine.save({ live: {} });
    for (const at of [0, 50, 299, 305]) {
      guest.run(500);
      guest.stepsWhenSent = 1;
      const giveUp = new AbortController();
      guest.onSend = (sent) => {
        if (sent === at) giveUp.abort();
      };
      const failed = await codeOf(() => machine.save({ live: {}, signal: giveUp.signal }));
      expect(failed).toBe('aborted');
      expect(guest.rests).toBe(0);
      guest.onSend = () => {};
      guest.stepsWhenSent = 0;
      const live = at % 2 === 0;
      const { snapshot } = await machine.save(live ? { live: {} } : {});
      expectSame(await filed.memoryOf(snapshot.id, memory.length), memory);
    }
  });

  it('that breaks off, or finds no room in the store, leaves the guest running and nothing forgotten', async () => {
    const { guest, machine, memory } = await filed.open({ partPages: 4, fewPages: 3 });
    guest.run(2000);
    for (const at of [3, 290]) {
      guest.onSend = (sent) => {
        if (sent === at) throw new VitrineError('guest-failed', { reason: 'it broke off' });
      };
      expect(await codeOf(() => machine.save({ live: {} }))).toBe('guest-failed');
      expect(guest.rests).toBe(0);
      guest.run(50);
    }
    guest.onSend = () => {};
    guest.stepsWhenSent = 1;
    const inner = filed.store.target;
    let failures = 0;
    for (const plan of ['E', 'oE', 'oooE', 'ooooooE']) {
      filed.store.target = faulty(inner, plan);
      const failed = await codeOf(() => machine.save({ live: {} }));
      if (failed !== 'none') failures++;
      expect(guest.rests).toBe(0);
      filed.store.target = inner;
    }
    expect(failures).toBeGreaterThan(0);
    guest.stepsWhenSent = 0;
    const { snapshot } = await machine.save({ live: {} });
    expectSame(await filed.memoryOf(snapshot.id, memory.length), memory);
  });

  it('of a guest that cannot now is one at rest, with the reason', async () => {
    const { guest, machine, memory } = await filed.open();
    guest.run(300);
    await guest.pause();
    const { live, snapshot } = await machine.save({ live: {} });
    expect(live).toMatchObject({ mode: 'stopped', reason: 'it is paused' });
    await guest.resume();
    expectSame(await filed.memoryOf(snapshot.id, memory.length), memory);
  });

  it('is ended with its tracker', async () => {
    const { guest, machine, tracker, memory } = await filed.open({ partPages: 2, fewPages: 1e9 });
    guest.run(1000);
    expect(await tracker.captureAhead({ full: false, live: true })).not.toBeNull();
    await tracker.reset();
    expect(guest.rests).toBe(0);
    const { snapshot } = await machine.save();
    expectSame(await filed.memoryOf(snapshot.id, memory.length), memory);
  });
});
