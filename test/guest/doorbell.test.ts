// The desk that all doorbells share: who may ring, what the guest reads, and what a guest that only rings costs.

import { beforeEach, describe, expect, it } from 'vitest';
import { DOORBELL_WORDS, type DoorbellAnswer, DoorbellDesk } from '../../src/guest/doorbell.ts';

const { save, reset, first, restored, refused, nobody } = DOORBELL_WORDS;
const code = (name: string) => expect.objectContaining({ code: name });

let nowMs = 0;
const clock = { nowMs: () => nowMs, wallMs: () => nowMs };

describe('a doorbell', () => {
  let desk: DoorbellDesk;
  let served: string[];
  let answer: () => DoorbellAnswer | Promise<DoorbellAnswer>;

  beforeEach(() => {
    nowMs = 0;
    desk = new DoorbellDesk('here', 'the instruction', clock);
    served = [];
    answer = () => 'first';
  });

  const serve = (maxPerSecond = 1000) =>
    desk.serve(
      (request) => {
        served.push(request);
        return answer();
      },
      { maxPerSecond },
    );

  /** Rings as an adapter does; returns what the guest reads. */
  const ring = (word: number) => {
    if (desk.ring(word)) expect(desk.attend()).toBeUndefined();
    return desk.word;
  };

  it('is answered by nobody until somebody serves, and after that', () => {
    expect(ring(save)).toBe(nobody);
    serve();
    expect(ring(save)).toBe(first);
    desk.stop();
    expect(ring(save)).toBe(nobody);
    expect(served).toEqual(['save']);
    expect(desk.counts).toEqual({ rings: 1, saves: 1, resets: 0, refused: 0 });
  });

  it('hands both words over, in the low byte of a word of any width', () => {
    serve();
    expect(ring(0x1234_5600 | save)).toBe(first);
    answer = () => 'restored';
    expect(ring(0x100 | reset)).toBe(restored);
    expect(served).toEqual(['save', 'reset']);
    expect(desk.counts).toEqual({ rings: 2, saves: 1, resets: 1, refused: 0 });
  });

  it('refuses every other word without asking anybody', () => {
    serve();
    for (let word = 0; word < 256; word++) {
      if (word !== save && word !== reset) expect(ring(word)).toBe(refused);
    }
    expect(served).toEqual([]);
  });

  it('says restored wherever its state is loaded, until the guest rings again', () => {
    desk.restored();
    expect(desk.word).toBe(restored);
    serve();
    expect(ring(save)).toBe(first);
    desk.restored();
    expect(desk.word).toBe(restored);
  });

  it('is one ring at a time: others are refused while one is answered', async () => {
    let settle: (answer: DoorbellAnswer) => void = () => {};
    answer = () => new Promise((resolve) => (settle = resolve));
    serve();
    expect(desk.ring(save)).toBe(true);
    const attending = desk.attend();
    expect(desk.isRung).toBe(true);
    expect(desk.ring(save)).toBe(false);
    expect(desk.word).toBe(refused);
    settle('first');
    await attending;
    expect(desk.isRung).toBe(false);
    expect(desk.word).toBe(first);
    expect(served).toEqual(['save']);
  });

  it('refuses where the server throws, now or later, and serves the next ring', async () => {
    answer = () => {
      throw new Error('not today');
    };
    serve();
    expect(ring(save)).toBe(refused);
    answer = () => Promise.reject(new Error('not today either'));
    desk.ring(save);
    await desk.attend();
    expect(desk.word).toBe(refused);
    answer = () => 'first';
    expect(ring(save)).toBe(first);
  });

  it('answers as many rings a second as it is told, a second’s worth at once, and not one more', () => {
    serve(10);
    const flood = () =>
      Array.from({ length: 1000 }, () => ring(save)).filter((word) => word === first).length;
    expect(flood()).toBe(10);
    nowMs += 99;
    expect(flood()).toBe(0);
    nowMs += 1;
    expect(flood()).toBe(1);
    nowMs += 3_600_000;
    expect(flood()).toBe(10);
    expect(served).toHaveLength(21);
    expect(desk.counts.rings).toBe(4000);
    expect(desk.counts.refused).toBe(3979);
  });

  it('serves less than one ring a second too', () => {
    serve(0.1);
    expect(ring(save)).toBe(first);
    nowMs += 9_999;
    expect(ring(save)).toBe(refused);
    nowMs += 1;
    expect(ring(save)).toBe(first);
  });

  it('wants a rate', () => {
    for (const rate of [0, -1, Number.NaN]) expect(() => serve(rate)).toThrow(code('argument-invalid'));
  });
});
