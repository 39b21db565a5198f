// The three builds over memories of their own, and bytes to feed them with.

import { type KernelBuild, type Kernels, loadKernels } from '../../src/kernel/index.ts';

export const BUILDS = ['reference', 'plain', 'simd'] as const satisfies readonly KernelBuild[];

export const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 32) >>> 0;

/** Every build, in the order of BUILDS. */
export function loadBuilds(): Promise<Kernels[]> {
  return Promise.all(BUILDS.map((build) => loadKernels({ build })));
}

/** A generator of 32-bit numbers (xorshift); the seed is part of every failure's message. */
export function randomFrom(seed: number): () => number {
  // Zero is the one state it never leaves.
  let state = (seed ^ 0x9e37_79b9) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

export function randomBytes(random: () => number, lengthBytes: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(lengthBytes / 4));
  for (let i = 0; i < words.length; i++) words[i] = random();
  return new Uint8Array(words.buffer, 0, lengthBytes);
}
