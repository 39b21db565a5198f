// Which build runs where, and the memories it comes with.

import { readFileSync } from 'node:fs';
// The compiler's own back end, which assemblyscript brings.
import binaryen from 'binaryen';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { compileKernels, type Kernels, loadKernels, SCRATCH_BYTES } from '../../src/kernel/index.ts';
import { BLAKE3_VECTORS, vectorInput } from './blake3-vectors.ts';
import { BUILDS, randomBytes, randomFrom, SEED } from './builds.ts';

const MIB = 2 ** 20;
const [VECTOR_BYTES, VECTOR_DIGEST] = BLAKE3_VECTORS.find(([lengthBytes]) => lengthBytes === 31_744)!;

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** That these kernels run at all: the digest of an official vector. */
function vectorDigest(kernels: Kernels): string {
  const { arena } = kernels;
  const [bytes, digest] = [arena.allocate(VECTOR_BYTES), arena.allocate(32)];
  arena.bytes(bytes, VECTOR_BYTES).set(vectorInput(VECTOR_BYTES));
  kernels.digestBytes(bytes, VECTOR_BYTES, digest);
  return toHex(arena.bytes(digest, 32));
}

/** The loader as a process sees it that has compiled nothing yet. */
async function freshLoader(): Promise<typeof import('../../src/kernel/load.ts')> {
  vi.resetModules();
  return import('../../src/kernel/load.ts');
}

describe('choice of a build', () => {
  it('takes SIMD where there is SIMD', async () => {
    const kernels = await loadKernels();
    expect(kernels.build).toBe('simd');
    expect(vectorDigest(kernels)).toBe(VECTOR_DIGEST);
  });

  it.each(BUILDS)('gives the %s build when told to', async (build) => {
    const kernels = await loadKernels({ build });
    expect(kernels.build).toBe(build);
    expect(vectorDigest(kernels)).toBe(VECTOR_DIGEST);
  });

  it('falls back to plain where SIMD does not validate', async () => {
    vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
    const kernels = await loadKernels();
    expect(kernels.build).toBe('plain');
    expect(vectorDigest(kernels)).toBe(VECTOR_DIGEST);
  });

  it('falls back to plain where only the SIMD build does not compile', async () => {
    const { loadKernels } = await freshLoader();
    vi.spyOn(WebAssembly, 'compile').mockRejectedValueOnce(new WebAssembly.CompileError('no SIMD here'));
    const kernels = await loadKernels();
    expect(kernels.build).toBe('plain');
    expect(vectorDigest(kernels)).toBe(VECTOR_DIGEST);
  });

  it('falls back to the reference without WebAssembly', async () => {
    vi.stubGlobal('WebAssembly', undefined);
    const kernels = await loadKernels();
    expect(kernels.build).toBe('reference');
    expect(vectorDigest(kernels)).toBe(VECTOR_DIGEST);
  });

  it('falls back to the reference where a policy forbids compiling', async () => {
    const { loadKernels } = await freshLoader();
    vi.spyOn(WebAssembly, 'compile').mockRejectedValue(new WebAssembly.CompileError('unsafe-eval'));
    expect((await loadKernels()).build).toBe('reference');
  });

  it('fails with a code when the one that was asked for does not run', async () => {
    const { loadKernels } = await freshLoader();
    vi.spyOn(WebAssembly, 'compile').mockRejectedValueOnce(new WebAssembly.CompileError('unsafe-eval'));
    await expect(loadKernels({ build: 'simd' })).rejects.toMatchObject({ code: 'kernel-unavailable' });
    // And is tried again next time.
    expect((await loadKernels({ build: 'simd' })).build).toBe('simd');
  });

  it('compiles each build once', async () => {
    const { compileKernels, loadKernels } = await freshLoader();
    const compile = vi.spyOn(WebAssembly, 'compile');
    const modules = await Promise.all([compileKernels('simd'), compileKernels('simd')]);
    expect(modules[0]).toBe(modules[1]);
    const [first, second] = await Promise.all([loadKernels(), loadKernels()]);
    expect(compile).toHaveBeenCalledTimes(1);
    expect(first.arena.memory).not.toBe(second.arena.memory);
  });

  // A clone is what a worker receives.
  it('takes a module that was compiled elsewhere and sees which build it is', async () => {
    const module = structuredClone(await compileKernels('plain'));
    expect((await loadKernels({ module })).build).toBe('plain');
  });
});

describe('the plain build', () => {
  it('holds no SIMD instruction, and the other one does', () => {
    expect(vectorWords('plain')).toEqual([]);
    expect(vectorWords('simd').length).toBeGreaterThan(100);
  });
});

describe('memory', () => {
  it.each(['plain', 'simd'] as const)('is shared when asked for: %s', async (build) => {
    const kernels = await loadKernels({ build, shared: true });
    expect(kernels.arena.memory.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(vectorDigest(kernels)).toBe(VECTOR_DIGEST);
    kernels.arena.allocate(8 * MIB);
    expect(vectorDigest(kernels)).toBe(VECTOR_DIGEST);
  });

  it('says so when it cannot be shared', async () => {
    await expect(loadKernels({ build: 'reference', shared: true })).rejects.toMatchObject({
      code: 'unsupported',
    });
    vi.stubGlobal('SharedArrayBuffer', undefined);
    await expect(loadKernels({ shared: true })).rejects.toMatchObject({ code: 'unsupported' });
    expect((await loadKernels()).build).toBe('simd');
  });

  it.each(BUILDS)('ends at maxBytes: %s', async (build) => {
    const { arena } = await loadKernels({ build, maxBytes: 4 * MIB });
    const before = arena.mark();
    expect(() => arena.allocate(4 * MIB)).toThrowError(expect.objectContaining({ code: 'memory-exhausted' }));
    expect(arena.mark()).toBe(before);
    expect(arena.bytes(arena.allocate(3 * MIB), 3 * MIB).length).toBe(3 * MIB);
  });

  it.each(BUILDS)('keeps its bytes when it grows: %s', async (build) => {
    const { arena } = await loadKernels({ build });
    const bytes = randomBytes(randomFrom(SEED), 1000);
    const at = arena.allocate(bytes.length);
    arena.bytes(at, bytes.length).set(bytes);
    for (let i = 0; i < 10; i++) arena.allocate(MIB);
    expect(arena.bytes(at, bytes.length)).toEqual(bytes);
  });

  it('takes several instances, each with its own scratch', async () => {
    const one = await loadKernels({ shared: true });
    const memory = one.arena.memory as WebAssembly.Memory;
    const at = one.arena.allocate(SCRATCH_BYTES + MIB);
    const other = await loadKernels({ within: { memory, at } });
    expect(other.arena.memory).toBe(memory);

    const scratch = one.arena.bytes(at, SCRATCH_BYTES).fill(0xa5).slice();
    const firstScratch = one.arena.bytes(1024, SCRATCH_BYTES);
    expect(vectorDigest(one)).toBe(VECTOR_DIGEST);
    expect(one.arena.bytes(at, SCRATCH_BYTES)).toEqual(scratch);
    firstScratch.fill(0x5a);
    expect(vectorDigest(other)).toBe(VECTOR_DIGEST);
    expect(firstScratch.every((byte) => byte === 0x5a)).toBe(true);
  });
});

/** Types and instructions over vectors in the text of a build. */
function vectorWords(build: 'plain' | 'simd'): readonly string[] {
  const binary = readFileSync(new URL(`../../src/kernel/generated/${build}.wasm`, import.meta.url));
  const module = binaryen.readBinary(binary);
  const text = module.emitText();
  module.dispose();
  return text.match(/\b(v128|[if]\d+x\d+)\b/g) ?? [];
}
