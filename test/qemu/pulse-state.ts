// What Pulse's memory has to hold by the rules of its README: the oracle of these tests. It runs wherever Node does.

import { MIB } from '../../src/base/limits.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { PULSE, PULSE_FACTS } from '../../src/guest/pulse/pulse.ts';
import { whilePaused } from '../../src/testing/guest-suites/subject.ts';

/** The generator: xorshift32 with 13, 17, 5. */
export function xorshift(word: number): number {
  let x = word;
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return x >>> 0;
}

/** Some of Pulse's words at one instant. */
export interface PulseState {
  readonly magic: number;
  readonly ticks: number;
  readonly loops: number;
  readonly random: number;
  readonly health: number;
  readonly checksum: number;
  readonly isAtRest: boolean;
  /** Of the working set: the last word of each page. */
  readonly lastWords: readonly number[];
}

/** Reads it in one pause. */
export function readPulse(guest: Guest): Promise<PulseState> {
  return whilePaused(guest, async () => {
    const bytes = new Uint8Array(2 * MIB);
    await guest.readPages({ region: 0, offsetBytes: 0, lengthBytes: bytes.length }, bytes);
    const view = new DataView(bytes.buffer);
    const word = (address: number): number => view.getUint32(address, true);
    const lastWords = Array.from({ length: PULSE_FACTS.pageCount }, (_, page) =>
      word(PULSE.work + (page + 1) * PULSE_FACTS.pageBytes - 4),
    );
    return {
      magic: word(PULSE.magic),
      ticks: word(PULSE.ticks),
      loops: word(PULSE.loops),
      random: word(PULSE.random),
      health: word(PULSE.health),
      checksum: word(PULSE.checksum),
      isAtRest: word(PULSE.ticks) === word(PULSE.worked),
      lastWords,
    };
  });
}

/** What the generator's word is after so many pages. */
const afterLoops: number[] = [PULSE_FACTS.seed];
export function randomAfter(loops: number): number {
  while (afterLoops.length <= loops) {
    let word = afterLoops.at(-1)!;
    for (let i = 0; i < PULSE_FACTS.pageBytes / 4; i++) word = xorshift(word);
    afterLoops.push(word);
  }
  return afterLoops[loops]!;
}

/** What is wrong with Pulse's memory by its rules, or `none`: the exact next value, and every page before it. */
export function faultOf(state: PulseState): string {
  if (state.magic !== PULSE_FACTS.magic) return 'it is not up';
  if (state.health === 2) return 'it says MEMORY BAD';
  // At rest no page is half written, and the words belong together.
  if (!state.isAtRest) return 'none';
  if (state.random !== randomAfter(state.loops)) return `after ${state.loops} pages the generator is off`;
  for (let back = 0; back < Math.min(state.loops, PULSE_FACTS.pageCount); back++) {
    const loop = state.loops - back;
    const page = ((loop - 1) * PULSE_FACTS.stride) % PULSE_FACTS.pageCount;
    if (state.lastWords[page] !== randomAfter(loop)) return `page ${page} is not what loop ${loop} wrote`;
  }
  return 'none';
}

/**
 * As `faultOf`, of all the working set at any one instant: every page is what the loops so far made of it, but for the one whose turn
 * it is, which begins with words of the next loop and ends with those it held. For a machine that is never done with a tick before the
 * next one comes.
 */
export function faultOfRam(ram: Buffer): string {
  const word = (address: number): number => ram.readUInt32LE(address);
  if (word(PULSE.magic) !== PULSE_FACTS.magic) return 'it is not up';
  if (word(PULSE.health) === 2) return 'it says MEMORY BAD';
  const { pageBytes, pageCount, stride, seed } = PULSE_FACTS;
  const [loops, wordsAPage] = [word(PULSE.loops), pageBytes / 4];
  const expected = new Uint32Array((pageCount * pageBytes) / 4);
  let last: number = seed;
  const turn = (loop: number): number => (((loop - 1) * stride) % pageCount) * wordsAPage;
  for (let loop = 1; loop <= loops; loop++) {
    for (let i = 0; i < wordsAPage; i++) expected[turn(loop) + i] = last = xorshift(last);
  }
  const isNext = turn(loops + 1);
  let isOld = false;
  for (let i = 0; i < expected.length; i++) {
    const held = word(PULSE.work + 4 * i);
    if (i >= isNext && i < isNext + wordsAPage && !isOld) {
      last = xorshift(last);
      if (held === last) continue;
      isOld = true;
    }
    if (held !== expected[i])
      return `after ${loops} loops word ${i % wordsAPage} of page ${Math.floor(i / wordsAPage)} is ${held}`;
  }
  return 'none';
}
