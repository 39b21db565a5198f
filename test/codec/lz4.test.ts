// What lz4.ts takes for granted of the package it calls: its exports, and that failing costs it no memory.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';

const require = createRequire(import.meta.url);
const module = new WebAssembly.Module(readFileSync(require.resolve('lz4-wasm/lz4_wasm_bg.wasm')));

test('the functions that are called are there, and nothing else is asked for', () => {
  const names = WebAssembly.Module.exports(module).map((one) => one.name);
  for (const name of [
    'memory',
    'compress',
    'decompress',
    '__wbindgen_add_to_stack_pointer',
    '__wbindgen_malloc',
    '__wbindgen_free',
  ]) {
    expect(names).toContain(name);
  }
  expect(WebAssembly.Module.imports(module).map((one) => `${one.module} ${one.name}`)).toEqual([
    './lz4_wasm_bg.js __wbindgen_string_new',
  ]);
});

test('20,000 blocks that do not decode leave its memory as it was', () => {
  const imports = { './lz4_wasm_bg.js': { __wbindgen_string_new: () => 0 } };
  const exports = new WebAssembly.Instance(module, imports).exports as unknown as {
    memory: WebAssembly.Memory;
    decompress(result: number, at: number, lengthBytes: number): void;
    __wbindgen_malloc(lengthBytes: number): number;
    __wbindgen_add_to_stack_pointer(change: number): number;
  };
  const block = Uint8Array.of(0, 0, 0, 0, 0x1f, 0x41, 0x05, 0x00, 0xff);
  new DataView(block.buffer).setUint32(0, LIMITS.frameBytes, true);
  const fail = (): number => {
    const at = exports.__wbindgen_malloc(block.length);
    new Uint8Array(exports.memory.buffer).set(block, at);
    const result = exports.__wbindgen_add_to_stack_pointer(-16);
    exports.decompress(result, at, block.length);
    const failed = new Uint32Array(exports.memory.buffer, result, 4)[3]!;
    exports.__wbindgen_add_to_stack_pointer(16);
    return failed;
  };
  for (let i = 0; i < 10; i++) expect(fail()).not.toBe(0);
  const before = exports.memory.buffer.byteLength;
  for (let i = 0; i < 20_000; i++) fail();
  expect(exports.memory.buffer.byteLength).toBe(before);
});
