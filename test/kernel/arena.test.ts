// The arena: addresses in order, given back in order.

import { describe, expect, it } from 'vitest';
import { Arena } from '../../src/kernel/index.ts';

const WASM_PAGE_BYTES = 65_536;

function newArena(maximum = 4): Arena {
  return new Arena(new WebAssembly.Memory({ initial: 1, maximum }));
}

describe('Arena', () => {
  it('reserves one after another, aligned, never at 0', () => {
    const arena = newArena();
    const first = arena.allocate(10, 16);
    const second = arena.allocate(1, 64);
    const third = arena.allocate(5, 1);
    expect(first).toBeGreaterThan(0);
    expect(first % 16).toBe(0);
    expect(second % 64).toBe(0);
    expect(second).toBeGreaterThanOrEqual(first + 10);
    expect(third).toBe(second + 1);
  });

  it('reserves again what was released', () => {
    const arena = newArena();
    const mark = arena.mark();
    const first = arena.allocate(100);
    arena.allocate(3 * WASM_PAGE_BYTES);
    arena.release(mark);
    expect(arena.allocate(100)).toBe(first);
  });

  it('refuses to release what is not reserved', () => {
    const arena = newArena();
    const mark = arena.mark();
    expect(() => arena.release(mark + 1)).toThrowError('reverse order');
  });

  it('grows by what is missing and no more', () => {
    const arena = newArena();
    arena.allocate(WASM_PAGE_BYTES);
    expect(arena.memory.buffer.byteLength).toBe(2 * WASM_PAGE_BYTES);
    arena.allocate(2 * WASM_PAGE_BYTES - arena.mark());
    expect(arena.memory.buffer.byteLength).toBe(2 * WASM_PAGE_BYTES);
  });

  it('reserves nothing when there is no more', () => {
    const arena = newArena(2);
    const mark = arena.mark();
    expect(() => arena.allocate(2 * WASM_PAGE_BYTES)).toThrowError(
      expect.objectContaining({ code: 'memory-exhausted' }),
    );
    expect(arena.mark()).toBe(mark);
    expect(arena.allocate(WASM_PAGE_BYTES)).toBeGreaterThan(0);
  });

  it.each([false, true])('sees a memory whole that others have grown, shared: %s', (shared) => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 4, shared });
    const arena = new Arena(memory);
    const at = arena.allocate(8);
    arena.bytes(at, 8).fill(7);
    memory.grow(2);
    expect([...arena.bytes(at, 8)]).toEqual(Array(8).fill(7));
    const late = arena.allocate(WASM_PAGE_BYTES);
    arena.words(late, WASM_PAGE_BYTES / 4).fill(1);
    new Uint8Array(memory.buffer)[at] = 9;
    expect(arena.bytes(at, 1)[0]).toBe(9);
    expect(memory.buffer.byteLength).toBe(3 * WASM_PAGE_BYTES);
  });

  it('sees the same memory as bytes and as words', () => {
    const arena = newArena();
    const at = arena.allocate(8, 4);
    arena.bytes(at, 8).set([1, 0, 0, 0, 0, 0, 0, 128]);
    expect([...arena.words(at, 2)]).toEqual([1, 0x8000_0000]);
  });
});
