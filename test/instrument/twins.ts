// A module twice: as it is, and instrumented. Both are called alike, and after each call memory, results and traps must
// be equal, and every page that changed must be marked.

import { expect } from 'vitest';
import {
  clearMarks,
  guestBytesOf,
  INSTRUMENT_EXPORTS,
  isDamaged,
  marksIn,
} from '../../src/instrument/index.ts';
import { type InstrumentOptions, instrument } from '../../src/instrument/instrument.ts';

type Call = (...args: unknown[]) => unknown;

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
  #before: Uint8Array;

  /** The memory is the export or the import `memory`. */
  constructor(
    module: Uint8Array<ArrayBuffer>,
    options: Partial<InstrumentOptions> & { readonly imported?: WebAssembly.MemoryDescriptor } = {},
  ) {
    const { imported, ...rest } = options;
    const { bytes, map, report } = instrument(module, { marks: true, ...rest });
    this.map = map;
    this.report = report;
    const make = (code: Uint8Array<ArrayBuffer>, extraPages: number): WebAssembly.Exports => {
      const { initial, maximum } = imported ?? { initial: 0, maximum: 0 };
      const memory = new WebAssembly.Memory({
        initial: initial + extraPages,
        maximum: (maximum ?? 0) + extraPages,
      });
      const instance = new WebAssembly.Instance(new WebAssembly.Module(code), { env: { memory } });
      return imported === undefined ? instance.exports : { ...instance.exports, memory };
    };
    this.#plain = make(module, 0);
    this.#marked = make(bytes, map.extraPages);
    this.plain = this.#plain.memory as WebAssembly.Memory;
    this.marked = this.#marked.memory as WebAssembly.Memory;
    this.#before = new Uint8Array(0);
    this.#compare('start');
  }

  call(name: string, ...args: unknown[]): TwinsResult {
    clearMarks(this.marked.buffer, this.map);
    this.#before = new Uint8Array(this.plain.buffer.slice(0));
    const expected = outcome(this.#plain[name] as Call, args);
    expect(outcome(this.#marked[name] as Call, args), `${name}(${args.join(', ')})`).toEqual(expected);
    return { ...this.#compare(`${name}(${args.join(', ')})`), trapped: 'trap' in expected };
  }

  /** The host grows both. */
  grow(pages: number): void {
    clearMarks(this.marked.buffer, this.map);
    this.#before = new Uint8Array(this.plain.buffer.slice(0));
    const former = (this.#marked[INSTRUMENT_EXPORTS.grow] as Call)(pages);
    expect(former).toBe(this.plain.grow(pages));
    this.#compare(`grow(${pages})`);
  }

  #compare(what: string): { readonly changed: number; readonly marked: number } {
    const { map } = this;
    const [plain, marked] = [new Uint8Array(this.plain.buffer), new Uint8Array(this.marked.buffer)];
    const guestBytes = guestBytesOf(this.marked.buffer, map);
    expect(guestBytes, `${what}: size`).toBe(plain.length);
    expect(Buffer.compare(plain, marked.subarray(0, guestBytes)), `${what}: memory`).toBe(0);
    expect(isDamaged(this.marked.buffer, map), `${what}: map`).toBe(false);
    const marks = marksIn(this.marked.buffer, map);
    let changed = 0;
    const missed: number[] = [];
    for (let page = 0; page * map.pageBytes < guestBytes; page++) {
      const [start, end] = [page * map.pageBytes, (page + 1) * map.pageBytes];
      const now = plain.subarray(start, end);
      let before = this.#before.subarray(start, end);
      if (before.length < now.length) {
        // What was not there was zeros.
        const whole = new Uint8Array(now.length);
        whole.set(before);
        before = whole;
      }
      if (Buffer.compare(now, before) === 0) continue;
      changed++;
      if (marks[page] !== 1 && what !== 'start') missed.push(page);
    }
    expect(missed, `${what}: missed pages`).toEqual([]);
    return { changed, marked: marks.reduce((sum, mark) => sum + mark, 0) };
  }
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
