// The input log: what goes in comes out, and no damage passes.

import { describe, expect, it } from 'vitest';
import { isVitrineError } from '../../src/base/error.ts';
import { crc32c } from '../../src/format/crc32c.ts';
import { decodeInputLog, encodeInputLog, type InputLog, recordable } from '../../src/guest/input-log.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';

const LOG: InputLog = {
  isCompiled: true,
  start: 0x1234_5678,
  inputs: [
    { slices: 0, steps: 0, name: 'serial0-input', value: 0x61 },
    { slices: 3, steps: 300_009, name: 'mouse-delta', value: [1, -2.5] },
    { slices: 3, steps: 300_009, name: 'mouse-click', value: true },
    { slices: 4, steps: 400_012, name: 'virtio-console0-input-bytes', value: Uint8Array.of(1, 2, 3) },
    { slices: 9, steps: 5_000_000_000, name: 'paste', value: 'grüß' },
    { slices: 9, steps: 5_000_000_000, name: 'nudge', value: undefined },
  ],
  end: { steps: 5_000_100_003, slices: 10 },
  checksums: [
    { name: 'record state', crc: 1 },
    { name: 'region ram', crc: 0xffff_ffff },
  ],
};

describe('an input log', () => {
  it('is the same after it was encoded and decoded', () => {
    expect(decodeInputLog(encodeInputLog(LOG))).toEqual(LOG);
    const empty: InputLog = {
      isCompiled: false,
      start: 0,
      inputs: [],
      end: { steps: 0, slices: 0 },
      checksums: [],
    };
    expect(decodeInputLog(encodeInputLog(empty))).toEqual(empty);
  });

  it('is refused at every length but its own, and with any bit flipped', () => {
    const bytes = encodeInputLog(LOG);
    for (let length = 0; length < bytes.length; length++) expectRefused(bytes.slice(0, length));
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expectRefused(flipped);
    }
  });

  it('is refused by what it says, also with a checksum that fits', () => {
    const random = new Random(seedOfRun());
    const bytes = encodeInputLog(LOG);
    for (let time = 0; time < 2000; time++) {
      const changed = bytes.slice(0, bytes.length - 4);
      for (let i = 0; i < 3; i++) changed[8 + random.below(changed.length - 8)] = random.below(256);
      const whole = sealed(changed);
      try {
        decodeInputLog(whole);
      } catch (error) {
        if (!isVitrineError(error) || !error.code.startsWith('format-')) throw error;
      }
    }
    const flagged = bytes.slice(0, bytes.length - 4);
    flagged[6] = 2;
    expect(() => decodeInputLog(sealed(flagged))).toThrow(expect.objectContaining({ code: 'format-range' }));
    const claims = bytes.slice(0, bytes.length - 4);
    new DataView(claims.buffer).setUint32(28, 0xffff_ffff, true);
    expect(() => decodeInputLog(sealed(claims))).toThrow(
      expect.objectContaining({ code: 'format-truncated' }),
    );
    const backwards = { ...LOG, inputs: [...LOG.inputs].reverse() };
    expect(() => decodeInputLog(encodeInputLog(backwards))).toThrow(
      expect.objectContaining({ code: 'format-range' }),
    );
  });

  it('takes copies, and only what it can hold', () => {
    const bytes = Uint8Array.of(1);
    const kept = recordable(bytes);
    bytes[0] = 2;
    expect(kept).toEqual({ value: Uint8Array.of(1) });
    expect(recordable({ socket: 1 })).toBeUndefined();
    expect(recordable(Number.NaN)).toBeUndefined();
  });
});

/** With the checksum of what it says. */
function sealed(body: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(body.length + 4);
  whole.set(body);
  new DataView(whole.buffer).setUint32(body.length, crc32c(body), true);
  return whole;
}

function expectRefused(bytes: Uint8Array<ArrayBuffer>): void {
  let code = 'none';
  try {
    decodeInputLog(bytes);
  } catch (error) {
    code = isVitrineError(error) ? error.code : String(error);
  }
  expect(code).toMatch(/^format-/);
}
