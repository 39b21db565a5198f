// The kernels: see README.md.

export { Arena, type ArenaMemory } from './arena.ts';
export { type Comparer, openComparer } from './comparer.ts';
export { type Address, type KernelBuild, type Kernels, sparseBytes } from './kernels.ts';
export { compileKernels, type KernelOptions, loadKernels } from './load.ts';
export { SCRATCH_BYTES } from './wasm.ts';
