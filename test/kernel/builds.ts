// The three builds, and seeded bytes to feed them with.

import type { KernelBuild } from '../../src/kernel/index.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';

export const BUILDS = ['reference', 'plain', 'simd'] as const satisfies readonly KernelBuild[];

/** Part of every failure's message: `SEED=… npx vitest run test/kernel` brings it back. */
export const SEED = seedOfRun();

/** Random 32-bit numbers from a seed. */
export function randomFrom(seed: number): () => number {
  const random = new Random(seed);
  return () => random.u32();
}

export function randomBytes(random: () => number, lengthBytes: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(lengthBytes / 4));
  for (let i = 0; i < words.length; i++) words[i] = random();
  return new Uint8Array(words.buffer, 0, lengthBytes);
}
