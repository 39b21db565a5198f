// Handles on shared memory: what they name, what a copy is, what is refused.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { FlatGuest } from '../../src/guest/flat.ts';
import { copyShared, isShared, isSpanShared, sharedBytes } from '../../src/memory/shared-memory.ts';
import { whyNotShared } from '../../src/memory/shared-support.ts';

afterEach(() => vi.unstubAllGlobals());

const buffer = new SharedArrayBuffer(8192);
const guest = new FlatGuest({
  regions: [
    { name: 'ram', bytes: new Uint8Array(buffer, 1024, 4096) },
    { name: 'disk', bytes: new Uint8Array(512), kind: 'disk' },
    { name: 'vram', bytes: new Uint8Array(buffer, 5120, 100), kind: 'device' },
  ],
});
const shared = guest.shared!;

describe('a handle on shared memory', () => {
  it('names the shared regions of a guest and no other', () => {
    expect(guest.traits.sharedMemory).toBe(true);
    expect(shared.regions).toEqual([
      { region: 0, buffer, offsetBytes: 1024, sizeBytes: 4096 },
      { region: 2, buffer, offsetBytes: 5120, sizeBytes: 100 },
    ]);
    const plain = new FlatGuest({ regions: [{ name: 'ram', bytes: new Uint8Array(512) }] });
    expect([plain.traits.sharedMemory, plain.shared]).toEqual([false, undefined]);
  });

  it('shows what the guest holds now, and copies it into bytes of one’s own', () => {
    guest.write(0, 7, Uint8Array.of(1, 2, 3));
    const copy = copyShared(shared, { region: 0, offsetBytes: 6, lengthBytes: 5 });
    expect([...copy]).toEqual([0, 1, 2, 3, 0]);
    expect(isShared(copy.buffer)).toBe(false);
    guest.write(0, 7, Uint8Array.of(9));
    expect([...copy]).toEqual([0, 1, 2, 3, 0]);
    expect(sharedBytes(shared, 0)![7]).toBe(9);
    expect(sharedBytes(shared, 1)).toBe(undefined);
  });

  it('refuses spans that are not all shared', () => {
    const span = (region: number, offsetBytes: number, lengthBytes: number) => ({
      region,
      offsetBytes,
      lengthBytes,
    });
    expect(isSpanShared(shared, span(0, 4000, 96))).toBe(true);
    for (const one of [span(0, 4000, 97), span(1, 0, 1), span(3, 0, 0), span(0, 0, 2 ** 40)]) {
      expect(isSpanShared(shared, one)).toBe(false);
      expect(() => copyShared(shared, one)).toThrow(expect.objectContaining({ code: 'span-out-of-range' }));
    }
  });
});

describe('shared memory on a platform', () => {
  it('is there in Node, and not where a page is not isolated or memory is too large', () => {
    expect(whyNotShared(100)).toBe(undefined);
    expect(whyNotShared(70_000)).toMatch(/no address space/);
    vi.stubGlobal('crossOriginIsolated', false);
    expect(whyNotShared(100)).toMatch(/not cross-origin isolated/);
    vi.stubGlobal('crossOriginIsolated', true);
    expect(whyNotShared(100)).toBe(undefined);
  });
});
