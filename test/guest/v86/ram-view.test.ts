// RAM stays in view while the program's memory grows.

import { expect, it } from 'vitest';
import { RamView } from '../../../src/guest/v86/ram-view.ts';
import type { V86View } from '../../../src/guest/v86/v86-internals.ts';

it.each([false, true])('is the same bytes after the memory has grown, shared: %s', (shared) => {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 9, shared });
  // Safe: only its place and length are asked for.
  const mem8 = { byteOffset: 65_536, length: 4096 } as V86View;
  const ram = new RamView({ wasm_memory: memory, mem8 });
  ram.bytes[5] = 77;
  memory.grow(3);
  expect(ram.bytes.length).toBe(4096);
  expect(ram.bytes[5]).toBe(77);
  ram.bytes[6] = 78;
  expect(new Uint8Array(memory.buffer)[65_536 + 6]).toBe(78);
});
