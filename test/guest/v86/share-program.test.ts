// v86's program and the code it compiles, rewritten to share memory: what changes, what is refused, and why a guest has
// none.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { compileV86 } from '../../../src/guest/v86/index.ts';
import { shareCode, sharedPagesFor, shareProgram } from '../../../src/guest/v86/share-program.ts';
import { findSection, readSections, SECTION } from '../../../src/instrument/module-sections.ts';
import { wat } from '../../support/wat.ts';
import { openPulse, v86Bytes } from './machines.ts';

const MIB = 2 ** 20;
const PAGE = 65_536;

afterEach(() => vi.unstubAllGlobals());

describe('v86’s program with shared memory', () => {
  it('differs in the limits of its memory alone', () => {
    const [before, after] = [v86Bytes(), shareProgram(v86Bytes(), 2000)].map(readSections);
    expect(after!.map(({ id }) => id)).toEqual(before!.map(({ id }) => id));
    for (const [index, { id, bytes }] of before!.entries()) {
      if (id !== SECTION.memory) expect(Buffer.compare(bytes, after![index]!.bytes)).toBe(0);
    }
    const [flagsBefore, flagsAfter] = [before!, after!].map(
      (all) => findSection(all, SECTION.memory)!.bytes[1],
    );
    expect([flagsBefore, flagsAfter]).toEqual([0, 3]);
  });

  it('has room for what a machine may come to, and never more than there can be', () => {
    const pages = sharedPagesFor({ memoryBytes: 128 * MIB, vgaMemoryBytes: 8 * MIB });
    expect(pages * PAGE).toBeGreaterThan((2 * 128 + 8 + 64) * MIB);
    expect(pages * PAGE).toBeLessThan(512 * MIB);
    expect(sharedPagesFor({ memoryBytes: 4096 * MIB, vgaMemoryBytes: 8 * MIB })).toBe(65_536);
  });

  it('is refused where it is no such program', () => {
    const code = (run: () => unknown) => {
      try {
        run();
        return 'done';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(code(() => shareProgram(Uint8Array.of(1, 2, 3), 100))).toBe('argument-invalid');
    expect(code(() => shareProgram(wat('(module (memory 10))'), 9))).toBe('argument-invalid');
    expect(code(() => shareProgram(wat('(module)'), 100))).toBe('unsupported');
    expect(code(() => shareProgram(wat('(module (memory 1 2 shared))'), 100))).toBe('unsupported');
    expect(code(() => shareProgram(wat('(module (memory 1 2))'), 100))).toBe('done');
    expect(code(() => shareCode(wat('(module (memory 1))')))).toBe('unsupported');
    expect(code(() => shareCode(wat('(module (import "e" "f" (func)))')))).toBe('unsupported');
  });
});

describe('compiled code with shared memory', () => {
  it.each([
    ['first', '(import "e" "m" (memory 1)) (import "e" "f" (func))'],
    ['last', '(import "e" "f" (func)) (import "e" "g" (global i32)) (import "e" "m" (memory 1 300))'],
    ['behind a table', '(import "e" "t" (table 1 2 funcref)) (import "e" "m" (memory 1))'],
  ])('takes a memory that is imported %s', async (_, imports) => {
    const code = shareCode(
      wat(`(module ${imports}
      (func (export "poke") (i32.store8 (i32.const 5) (i32.const 7))))`),
    );
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65_536, shared: true });
    const e = {
      f: () => {},
      g: new WebAssembly.Global({ value: 'i32' }, 1),
      t: new WebAssembly.Table({ initial: 1, maximum: 2, element: 'anyfunc' }),
      m: memory,
    };
    const { instance } = await WebAssembly.instantiate(code, { e });
    (instance.exports.poke as () => void)();
    expect(new Uint8Array(memory.buffer)[5]).toBe(7);
  });
});

describe('a v86 guest without shared memory', () => {
  const reasonFor = async (memory: 'auto' | 'private') => {
    const guest = await openPulse({ wasm: { bytes: v86Bytes() }, memory });
    const { sharedMemory, sharedMemoryReason } = guest.traits;
    expect([sharedMemory, guest.shared]).toEqual([false, undefined]);
    await guest.close();
    return sharedMemoryReason;
  };

  it('says why: not wanted, no isolation, no buffer, no threads, no room, another compilation', async () => {
    expect(await reasonFor('private')).toBe('not wanted');
    vi.stubGlobal('crossOriginIsolated', false);
    expect(await reasonFor('auto')).toBe('the page is not cross-origin isolated');
    vi.stubGlobal('crossOriginIsolated', true);
    vi.stubGlobal('SharedArrayBuffer', undefined);
    expect(await reasonFor('auto')).toBe('no SharedArrayBuffer');
    vi.unstubAllGlobals();
    const { validate, Memory } = WebAssembly;
    vi.spyOn(WebAssembly, 'validate').mockImplementation(() => false);
    expect(await reasonFor('auto')).toBe('no WebAssembly threads');
    WebAssembly.validate = validate;
    WebAssembly.Memory = function refuse() {
      throw new RangeError('no room');
    } as never;
    const noRoom = compileV86(v86Bytes(), { memory: 'auto' });
    WebAssembly.Memory = Memory;
    expect((await noRoom).unshared).toMatch(/^no address space of \d+ MiB$/);
    const plain = await openPulse({ wasm: { module: await WebAssembly.compile(v86Bytes()) } });
    expect(plain.traits.sharedMemoryReason).toBe('the program was compiled without it');
    await plain.close();
  });

  it('is not opened when it has to have it', async () => {
    vi.stubGlobal('crossOriginIsolated', false);
    const unsupported = { code: 'unsupported', data: { missing: 'shared memory' } };
    await expect(openPulse({ wasm: { bytes: v86Bytes() }, memory: 'shared' })).rejects.toMatchObject(
      unsupported,
    );
    await expect(openPulse({ memory: 'shared' })).rejects.toMatchObject(unsupported);
  });
});
