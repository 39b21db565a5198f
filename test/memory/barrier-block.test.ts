// The memory of a write barrier: who gets a page, and what the ring holds, against plain lists.

import { describe, expect, it } from 'vitest';
import { BARRIER_BLOCK, BarrierBlock, barrierBlockBytes, slotsIn } from '../../src/memory/barrier-block.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';

const PAGE_BYTES = 256;
const AT = 64;

function open(pageCount: number, slotCount: number) {
  const shape = { pageCount, pageBytes: PAGE_BYTES, slotCount };
  const memory = { buffer: new ArrayBuffer(AT + barrierBlockBytes(shape)) };
  return { block: new BarrierBlock(memory, AT, shape) };
}

const pageOf = (value: number) => new Uint8Array(PAGE_BYTES).fill(value);

describe('a barrier block', () => {
  it('awaits exactly the pages it was told, whole words of them and the last bits', () => {
    const random = new Random(seedOfRun());
    for (const pageCount of [1, 31, 32, 33, 64, 100, 257]) {
      const { block } = open(pageCount, 0);
      for (const pages of [
        PageSet.all(pageCount),
        PageSet.from(
          pageCount,
          Array.from({ length: 40 }, () => random.below(pageCount)),
        ),
        new PageSet(pageCount),
      ]) {
        block.await(pages);
        const awaited = Array.from({ length: pageCount }, (_, page) => page).filter((page) =>
          block.isAwaited(page),
        );
        expect(awaited).toEqual([...pages]);
      }
    }
  });

  it('gives an awaited page to the first who asks, and a page that is not awaited to nobody', () => {
    const { block } = open(4, 0);
    block.await(PageSet.from(4, [1, 3]));
    expect([0, 1, 2, 3].map((page) => block.claim(page))).toEqual([false, true, false, true]);
    expect([1, 3].map((page) => block.claim(page))).toEqual([false, false]);
    block.await(PageSet.from(4, [2]));
    block.disarm();
    expect(block.claim(2)).toBe(false);
  });

  it('is a queue with so many places, for random puts and drains', () => {
    const random = new Random(seedOfRun());
    for (const slotCount of [0, 1, 3, 8]) {
      const { block } = open(64, slotCount);
      const expected: number[] = [];
      let peak = 0;
      for (let turn = 0; turn < 500; turn++) {
        if (random.chance(0.6)) {
          const page = random.below(64);
          const fits = expected.length < slotCount;
          expect(block.put(page, pageOf(page))).toBe(fits);
          if (fits) expected.push(page);
          peak = Math.max(peak, expected.length);
        } else {
          const most = random.below(4);
          const drained: number[] = [];
          const count = block.drain(most, (page, bytes) => {
            expect(bytes).toEqual(pageOf(page));
            drained.push(page);
          });
          expect(count).toBe(drained.length);
          expect(drained).toEqual(expected.splice(0, most));
        }
        expect(block.peakPages).toBe(peak);
      }
    }
  });

  it('ends a short page with zeros', () => {
    const { block } = open(2, 1);
    block.put(0, pageOf(9));
    block.drain(1, () => {});
    block.put(1, Uint8Array.of(5));
    block.drain(1, (page, bytes) => {
      expect(page).toBe(1);
      expect(bytes).toEqual(Uint8Array.from({ length: PAGE_BYTES }, (_, at) => (at === 0 ? 5 : 0)));
    });
  });

  it('is found again after its memory grew, and stays inside itself', () => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const shape = { pageCount: 40, pageBytes: PAGE_BYTES, slotCount: 4 };
    const end = AT + barrierBlockBytes(shape);
    new Uint8Array(memory.buffer).fill(0xee, end);
    const grown = new BarrierBlock(memory, AT, shape);
    grown.await(PageSet.all(40));
    grown.put(7, pageOf(7));
    memory.grow(1);
    expect(grown.claim(39)).toBe(true);
    expect(grown.put(8, pageOf(8))).toBe(true);
    const seen: number[] = [];
    grown.drain(9, (page) => seen.push(page));
    expect(seen).toEqual([7, 8]);
    const words = new Int32Array(memory.buffer, AT);
    expect(words[BARRIER_BLOCK.written / 4]).toBe(2);
    expect(words[BARRIER_BLOCK.read / 4]).toBe(2);
    expect(new Uint8Array(memory.buffer, end, 65_536 - end).every((byte) => byte === 0xee)).toBe(true);
    expect(new Uint8Array(memory.buffer, 0, AT).every((byte) => byte === 0)).toBe(true);
  });

  it('takes no more places than there are pages', () => {
    expect(slotsIn(10_000, 256, 8)).toBe(8);
    expect(slotsIn(700, 256, 8)).toBe(2);
    expect(slotsIn(0, 256, 8)).toBe(0);
    expect(slotsIn(Number.MAX_SAFE_INTEGER, 4096, 8)).toBe(8);
  });
});
