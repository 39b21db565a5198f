// A module twice: as it is, and instrumented. Both are called alike, and after each call memory, results and traps must
// be equal, and every page that changed must be marked. With barriers, every page that changed was copied aside before,
// and the copy is what the page held when the barrier was armed.

import { expect } from 'vitest';
import { armBarrier } from '../../src/instrument/barrier-hook.ts';
import {
  clearMarks,
  guestBytesOf,
  INSTRUMENT_EXPORTS,
  isDamaged,
  marksIn,
} from '../../src/instrument/index.ts';
import { type Instrumented, type InstrumentOptions, instrument } from '../../src/instrument/instrument.ts';

type Call = (...args: unknown[]) => unknown;

/** The ways to instrument that are tested alike. */
export const KINDS = ['marks', 'barriers', 'shared marks', 'shared barriers'] as const;
export type Kind = (typeof KINDS)[number];

export interface TwinsOptions extends Omit<InstrumentOptions, 'marks' | 'barriers'> {
  readonly kind?: Kind;
  readonly imported?: WebAssembly.MemoryDescriptor;
}

export interface TwinsResult {
  /** Pages that the call changed, and pages that it marked. */
  readonly changed: number;
  readonly marked: number;
  readonly trapped: boolean;
}

export class Twins {
  readonly map;
  readonly report;
  readonly plain: WebAssembly.Memory;
  readonly marked: WebAssembly.Memory;
  readonly #plain: WebAssembly.Exports;
  readonly #marked: WebAssembly.Exports;
  readonly #isBarrier: boolean;
  #before: Uint8Array;
  /** Pages copied aside since the barrier was armed. */
  #aside = new Map<number, Uint8Array>();

  /** The memory is the export or the import `memory`. */
  constructor(module: Uint8Array<ArrayBuffer>, options: TwinsOptions = {}) {
    const { imported, kind = 'marks', ...rest } = options;
    this.#isBarrier = kind.endsWith('barriers');
    const { bytes, map, memory, report } = instrument(module, {
      ...(this.#isBarrier ? { barriers: true } : { marks: true }),
      ...(kind.startsWith('shared') ? { shared: { maximumPages: 64 } } : {}),
      ...rest,
    });
    this.map = map;
    this.report = report;
    this.#plain = instanceOf(module, imported);
    this.#marked = instanceOf(bytes, imported && descriptorOf(memory));
    this.plain = this.#plain.memory as WebAssembly.Memory;
    this.marked = this.#marked.memory as WebAssembly.Memory;
    this.#before = new Uint8Array(0);
    this.#compare('start');
    this.#arm();
  }

  call(name: string, ...args: unknown[]): TwinsResult {
    this.#arm();
    const expected = outcome(this.#plain[name] as Call, args);
    expect(outcome(this.#marked[name] as Call, args), `${name}(${args.join(', ')})`).toEqual(expected);
    return { ...this.#compare(`${name}(${args.join(', ')})`), trapped: 'trap' in expected };
  }

  /** The host grows both. */
  grow(pages: number): void {
    this.#arm();
    const former = (this.#marked[INSTRUMENT_EXPORTS.grow] as Call)(pages);
    expect(former).toBe(this.plain.grow(pages));
    this.#compare(`grow(${pages})`);
  }

  #arm(): void {
    this.#before = new Uint8Array(this.plain.buffer.slice(0));
    if (!this.#isBarrier) {
      clearMarks(this.marked.buffer, this.map);
      return;
    }
    this.#aside = new Map();
    const { pageBytes } = this.map;
    armBarrier(this.#marked, this.marked, this.map, (page) => {
      expect(this.#aside.has(page), `page ${page} told of twice`).toBe(false);
      this.#aside.set(page, new Uint8Array(this.marked.buffer, page * pageBytes, pageBytes).slice());
    });
  }

  #compare(what: string): { readonly changed: number; readonly marked: number } {
    const { map } = this;
    const guestBytes = guestBytesOf(this.marked.buffer, map);
    const [plain, marked] = [
      new Uint8Array(this.plain.buffer),
      new Uint8Array(this.marked.buffer, 0, guestBytes),
    ];
    expect(guestBytes, `${what}: size`).toBe(plain.length);
    expect(Buffer.compare(plain, marked), `${what}: memory`).toBe(0);
    if (what === 'start') return { changed: 0, marked: 0 };
    expect(isDamaged(this.marked.buffer, map), `${what}: map`).toBe(false);
    const marks = marksIn(this.marked.buffer, map);
    let changed = 0;
    const missed: number[] = [];
    for (let page = 0; page * map.pageBytes < guestBytes; page++) {
      const [start, end] = [page * map.pageBytes, (page + 1) * map.pageBytes];
      const now = plain.subarray(start, end);
      // What was not there was zeros.
      const before = new Uint8Array(now.length);
      before.set(this.#before.subarray(start, end));
      if (this.#isBarrier) this.#checkAside(page, { before, isMarked: marks[page] === 1, what });
      if (Buffer.compare(now, before) === 0) continue;
      changed++;
      if (marks[page] !== 1) missed.push(page);
    }
    expect(missed, `${what}: missed pages`).toEqual([]);
    return { changed, marked: marks.reduce((sum, mark) => sum + mark, 0) };
  }

  /** Marked is what was copied aside, and that is what was there before. */
  #checkAside(
    page: number,
    { before, isMarked, what }: { before: Uint8Array; isMarked: boolean; what: string },
  ): void {
    const aside = this.#aside.get(page);
    if (isMarked !== (aside !== undefined)) {
      expect.fail(
        `${what}: page ${page} is ${isMarked ? '' : 'not '}marked, and ${aside ? '' : 'not '}aside`,
      );
    }
    // A map that moves leaves its bytes where the guest has grown: those are zeroed, and were never the guest's.
    const isOld = (page + 1) * this.map.pageBytes <= this.#before.length;
    if (aside !== undefined && isOld && Buffer.compare(aside, before) !== 0) {
      expect.fail(`${what}: page ${page} was copied aside too late`);
    }
  }
}

function instanceOf(
  code: Uint8Array<ArrayBuffer>,
  imported: WebAssembly.MemoryDescriptor | undefined,
): WebAssembly.Exports {
  const module = new WebAssembly.Module(code);
  if (imported === undefined) return new WebAssembly.Instance(module, {}).exports;
  const memory = new WebAssembly.Memory(imported);
  return { ...new WebAssembly.Instance(module, { env: { memory } }).exports, memory };
}

function descriptorOf({ initial, maximum, shared }: Instrumented['memory']): WebAssembly.MemoryDescriptor {
  return { initial, shared, ...(maximum === undefined ? {} : { maximum }) };
}

/** What a call answers, or that it trapped. */
function outcome(
  call: Call,
  args: readonly unknown[],
): { readonly value: unknown } | { readonly trap: string } {
  try {
    return { value: call(...args) };
  } catch (error) {
    return { trap: String(error) };
  }
}
