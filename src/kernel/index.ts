// The kernels: see README.md.

export { Arena, type ArenaMemory } from './arena.ts';
export type { Address, KernelBuild, Kernels } from './kernels.ts';
export { compileKernels, type KernelOptions, loadKernels } from './load.ts';
export { SCRATCH_BYTES } from './wasm.ts';
