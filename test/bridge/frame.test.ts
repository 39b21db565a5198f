// Frames in any cut, and everything that is no frame.

import { describe, expect, it } from 'vitest';
import { concatBytes, type OwnedBytes } from '../../src/base/bytes.ts';
import { isVitrineError } from '../../src/base/error.ts';
import { BRIDGE_LIMITS } from '../../src/bridge/bridge-limits.ts';
import {
  creditFrame,
  creditOf,
  encodeFrame,
  FRAME_HEADER_BYTES,
  type Frame,
  type FrameParts,
  SENT_BY,
} from '../../src/bridge/frame.ts';
import { FrameDecoder } from '../../src/bridge/frame-decoder.ts';
import { Random } from '../../src/testing/random.ts';
import { piecesOf } from '../support/channel-pair.ts';
import { seedOfRun } from '../support/seed.ts';

const SAMPLES: readonly FrameParts[] = [
  { type: 'request', request: 1, verb: 9, body: Uint8Array.of(0xa0) },
  { type: 'credit', request: 1, body: Uint8Array.of(0, 0, 8, 0) },
  { type: 'data', request: 1, body: new Uint8Array(5000).fill(7) },
  { type: 'data', request: 1, end: true },
  { type: 'cancel', request: 1 },
  { type: 'request', request: 0xffff_ffff, verb: 0xffff, body: new Uint8Array(100) },
];

function collect(decoder: FrameDecoder, messages: readonly OwnedBytes[]): Frame[] {
  return messages.flatMap((message) =>
    [...decoder.push(message)].map((frame) => ({ ...frame, body: frame.body.slice() })),
  );
}

function expected(parts: readonly FrameParts[]): Frame[] {
  return parts.map(({ type, request, verb = 0, end = false, body }) => ({
    type,
    request,
    verb,
    end,
    body: Uint8Array.from(body ?? []),
  }));
}

function refusalOf(bytes: OwnedBytes): { code: string; field: unknown } {
  const decoder = new FrameDecoder(SENT_BY.client);
  try {
    collect(decoder, [bytes]);
  } catch (error) {
    if (isVitrineError(error)) return { code: error.code, field: error.data.field };
    throw error;
  }
  return { code: 'accepted', field: undefined };
}

function header(type: number, flags: number, verb: number, request: number, length: number): OwnedBytes {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, type);
  view.setUint8(1, flags);
  view.setUint16(2, verb, true);
  view.setUint32(4, request, true);
  view.setUint32(8, length, true);
  return bytes;
}

describe('frames', () => {
  const stream = concatBytes(SAMPLES.map(encodeFrame));

  it('are read whatever way they were cut', () => {
    for (const lengthBytes of [1, 2, 11, 12, 13, 4096, stream.length]) {
      const decoder = new FrameDecoder(SENT_BY.client);
      expect(collect(decoder, piecesOf(stream, lengthBytes))).toEqual(expected(SAMPLES));
      expect(decoder.heldBytes).toBe(0);
    }
  });

  it('are read in random cuts of random frames', () => {
    const random = new Random(seedOfRun());
    for (let round = 0; round < 200; round++) {
      const parts = Array.from({ length: 1 + random.below(6) }, () => {
        const body = random.bytes(1 + random.below(random.chance(0.2) ? 20_000 : 40));
        return { type: 'data' as const, request: 1 + random.below(9), end: random.chance(0.3), body };
      });
      const bytes = concatBytes(parts.map(encodeFrame));
      const messages: OwnedBytes[] = [];
      for (let at = 0; at < bytes.length; ) {
        const length = 1 + random.below(random.chance(0.5) ? 30 : 9000);
        messages.push(bytes.slice(at, at + length));
        at += length;
      }
      expect(collect(new FrameDecoder(['data']), messages)).toEqual(expected(parts));
    }
  });

  it('come in parts where that is wanted, which hold nothing and are the same stream', () => {
    const random = new Random(seedOfRun());
    for (let round = 0; round < 200; round++) {
      const parts = Array.from({ length: 1 + random.below(6) }, () => {
        const body = random.bytes(random.below(random.chance(0.2) ? 20_000 : 40));
        return { type: 'data' as const, request: 1 + random.below(3), end: random.chance(0.3), body };
      });
      // What may come in parts is asked once a frame: the answer changes while one is under way.
      let isAsked = 0;
      const decoder = new FrameDecoder(['data'], (request) => request !== 2 && isAsked++ % 4 !== 3);
      const bytes = concatBytes(parts.map(encodeFrame));
      const joined: { request: number; end: boolean; body: Uint8Array }[] = [];
      let isUnderWay = false;
      for (let at = 0; at < bytes.length; ) {
        const length = 1 + random.below(random.chance(0.5) ? 30 : 9000);
        for (const { request, end, body } of decoder.push(bytes.slice(at, at + length))) {
          const index: number = joined.length - (isUnderWay ? 1 : 0);
          if (isUnderWay) joined.push({ request, end, body: concatBytes([joined.pop()!.body, body]) });
          else joined.push({ request, end, body: body.slice() });
          isUnderWay = joined.at(-1)!.body.length < parts[index]!.body.length;
          if (isUnderWay) expect([end, decoder.heldBytes]).toEqual([false, FRAME_HEADER_BYTES]);
        }
        at += length;
      }
      expect(joined).toEqual(parts.map(({ request, end, body }) => ({ request, end, body })));
    }
  });

  it('have the bytes that PROTOCOL.md draws', () => {
    expect([...encodeFrame(SAMPLES[0]!)]).toEqual([1, 0, 9, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0xa0]);
    expect([...encodeFrame({ type: 'data', request: 258, end: true })]).toEqual([
      6, 1, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0,
    ]);
    expect([...creditFrame(3, 65_536)]).toEqual([7, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 1, 0]);
    expect(creditOf(collect(new FrameDecoder(['credit']), [creditFrame(3, 65_536)])[0]!)).toBe(65_536);
  });

  it('are refused for what they claim, before a byte of a body is there', () => {
    expect(refusalOf(header(0, 0, 0, 1, 0))).toEqual({ code: 'format-tag', field: 'type' });
    expect(refusalOf(header(8, 0, 0, 1, 0))).toEqual({ code: 'format-tag', field: 'type' });
    expect(refusalOf(header(2, 0, 0, 1, 1))).toEqual({ code: 'format-tag', field: 'type' });
    expect(refusalOf(header(6, 2, 0, 1, 0))).toEqual({ code: 'format-tag', field: 'flags' });
    expect(refusalOf(header(1, 1, 1, 1, 1))).toEqual({ code: 'format-tag', field: 'flags' });
    expect(refusalOf(header(1, 0, 0, 1, 1))).toEqual({ code: 'format-tag', field: 'verb' });
    expect(refusalOf(header(6, 0, 1, 1, 1))).toEqual({ code: 'format-tag', field: 'verb' });
    expect(refusalOf(header(6, 0, 0, 0, 1))).toEqual({ code: 'format-range', field: 'request' });
    expect(refusalOf(header(1, 0, 1, 1, 0))).toEqual({ code: 'format-limit', field: 'body' });
    expect(refusalOf(header(7, 0, 0, 1, 5))).toEqual({ code: 'format-limit', field: 'body' });
    expect(refusalOf(header(5, 0, 0, 1, 1))).toEqual({ code: 'format-limit', field: 'body' });
    const { dataFrameBytes, controlFrameBytes } = BRIDGE_LIMITS;
    expect(refusalOf(header(6, 0, 0, 1, dataFrameBytes))).toMatchObject({ code: 'accepted' });
    expect(refusalOf(header(6, 0, 0, 1, dataFrameBytes + 1))).toMatchObject({ code: 'format-limit' });
    expect(refusalOf(header(1, 0, 1, 1, controlFrameBytes))).toMatchObject({ code: 'accepted' });
    expect(refusalOf(header(1, 0, 1, 1, controlFrameBytes + 1))).toMatchObject({ code: 'format-limit' });
    expect(refusalOf(header(6, 0, 0, 1, 0xffff_ffff))).toMatchObject({ code: 'format-limit' });
  });

  it('hold memory for what has come, not for what was claimed', () => {
    const decoder = new FrameDecoder(['data']);
    collect(decoder, [header(6, 0, 0, 1, BRIDGE_LIMITS.dataFrameBytes), Uint8Array.of(1)]);
    expect(decoder.heldBytes).toBeLessThan(8192);
    for (let came = 1; came < 100_000; came += 1000) {
      collect(decoder, [new Uint8Array(1000)]);
      expect(decoder.heldBytes).toBeLessThan(2 * came + 8192);
    }
  });

  it('stay refused once they were', () => {
    const decoder = new FrameDecoder(SENT_BY.client);
    expect(() => collect(decoder, [header(0, 0, 0, 1, 0)])).toThrow(/format-tag/);
    expect(() => collect(decoder, [encodeFrame(SAMPLES[0]!)])).toThrow(/format-tag/);
  });

  it('of random bytes and flipped bits are frames or a format error, and nothing else', () => {
    const random = new Random(seedOfRun());
    let refused = 0;
    for (let round = 0; round < 3000; round++) {
      const bytes = random.chance(0.5) ? random.bytes(random.below(200)) : stream.slice();
      for (let flips = random.below(4); flips > 0 && bytes.length > 0; flips--) {
        bytes[random.below(Math.min(bytes.length, 60))]! ^= 1 << random.below(8);
      }
      const decoder = new FrameDecoder(random.pick([SENT_BY.client, SENT_BY.host]));
      try {
        collect(decoder, piecesOf(bytes, 1 + random.below(50)));
      } catch (error) {
        expect(isVitrineError(error) && error.code.startsWith('format-')).toBe(true);
        refused++;
      }
      expect(decoder.heldBytes).toBeLessThan(2 * bytes.length + 8192);
    }
    expect(refused).toBeGreaterThan(1000);
  });
});
