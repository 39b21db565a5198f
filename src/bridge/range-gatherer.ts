// Ranges out of the stream of a peek: one array a range, as they were asked for.

import { type OwnedBytes, readyBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { MIB } from '../base/limits.ts';
import type { BridgeConnection, RequestOf, ResponseOf } from './bridge-connection.ts';
import type { CallOptions } from './client-call.ts';
import type { BridgeRange } from './fields.ts';

/** Memory that is made while the host reads its machine; more than that would hold a page up, which has a frame to paint. */
const AHEAD_BYTES = 16 * MIB;

export interface GatherOptions {
  /** Memory for the bytes, an array a range and of its length: who peeks again and again then makes none. */
  readonly into?: readonly OwnedBytes[];
}

/** A peek's bytes, an array a range, and what the host said of them. Throws what the verb throws. */
export async function gatherRanges(
  connection: BridgeConnection,
  of: RequestOf<'peek'>['of'],
  ranges: readonly BridgeRange[],
  options: Pick<RequestOf<'peek'>, 'consistency'> & Pick<CallOptions, 'signal'> & GatherOptions = {},
): Promise<{ readonly bytes: OwnedBytes[]; readonly answer: ResponseOf<'peek'> }> {
  const { signal, into, ...rest } = options;
  const gatherer = new RangeGatherer(ranges, into);
  const answering = connection.call(
    'peek',
    { of, ranges: [...ranges], ...rest },
    { onLentBytes: (bytes) => gatherer.put(bytes), ...(signal === undefined ? {} : { signal }) },
  );
  gatherer.prepare();
  const answer = await answering;
  return { bytes: gatherer.finish(), answer };
}

class RangeGatherer {
  readonly #ranges: readonly BridgeRange[];
  readonly #into: readonly OwnedBytes[] | undefined;
  readonly #whole: OwnedBytes[] = [];
  /** Arrays of the first ranges, before their bytes have come. */
  readonly #ahead: OwnedBytes[] = [];
  #at = 0;

  /** Throws `argument-invalid` when `into` does not fit the ranges. */
  constructor(ranges: readonly BridgeRange[], into?: readonly OwnedBytes[]) {
    this.#ranges = ranges;
    this.#into = into;
    if (into === undefined) return;
    const isFit =
      into.length === ranges.length && into.every((to, i) => to.length === ranges[i]!.lengthBytes);
    if (!isFit) throw new VitrineError('argument-invalid', { name: 'into', arrays: into.length });
  }

  /** Makes what memory it will need first. What is more, or no length, is seen to later. */
  prepare(): void {
    if (this.#into !== undefined) return;
    let left = AHEAD_BYTES;
    for (const { lengthBytes } of this.#ranges) {
      if (!(lengthBytes >= 0 && lengthBytes <= left)) return;
      this.#ahead.push(readyBytes(lengthBytes));
      left -= lengthBytes;
    }
  }

  put(bytes: OwnedBytes): void {
    for (let from = 0; from < bytes.length; ) {
      const target = this.#target();
      const taken = Math.min(bytes.length - from, target.length - this.#at);
      target.set(bytes.subarray(from, from + taken), this.#at);
      this.#at += taken;
      from += taken;
    }
  }

  /** Throws `format-truncated` when the stream ended before the ranges did. */
  finish(): OwnedBytes[] {
    const last = this.#whole.at(-1);
    if (this.#whole.length < this.#ranges.length || this.#at < (last?.length ?? 0)) {
      throw new VitrineError('format-truncated', { record: 'peek', ranges: this.#ranges.length });
    }
    return this.#whole;
  }

  /** The array that takes the next byte; made when its first one has come. */
  #target(): OwnedBytes {
    const current = this.#whole.at(-1);
    if (current !== undefined && this.#at < current.length) return current;
    const range = this.#ranges[this.#whole.length];
    if (range === undefined) throw new VitrineError('format-range', { record: 'peek', field: 'length' });
    const index = this.#whole.length;
    const next = this.#into?.[index] ?? this.#ahead[index] ?? new Uint8Array(range.lengthBytes);
    this.#whole.push(next);
    this.#at = 0;
    return next;
  }
}
