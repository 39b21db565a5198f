// Chooses a build that runs here and gives out kernels: SIMD, else plain WebAssembly, else TypeScript.
//
// Each build is fetched and compiled once per process; each call has a memory of its own. Nothing is shared
// unless asked for, so it runs with and without cross-origin isolation, on a page, in a worker and in Node.

import { fromHex } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { Address, KernelBuild, Kernels } from './kernels.ts';
import { createMemory, FIRST_ADDRESS, instantiateKernels } from './wasm.ts';

type WasmBuild = Exclude<KernelBuild, 'reference'>;

/** A function that returns a vector: `i32.const 0`, `i8x16.splat`, `i8x16.popcnt`. */
const SIMD_PROBE = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x0a, 0x0a, 0x01, 0x08, 0x00, 0x41, 0x00, 0xfd, 0x0f, 0xfd, 0x62, 0x0b],
);

/** In the module's import of its memory: the limits have a maximum, and the memory is shared. */
const SHARED_MEMORY_FLAGS = 3;

const DEFAULT_REFERENCE_BYTES = 2 ** 31;

const modules = new Map<string, Promise<WebAssembly.Module>>();

export interface KernelOptions {
  /** This build and no other. Without it, the fastest that runs here. */
  readonly build?: KernelBuild;
  /** A memory that other threads can see; needs cross-origin isolation in a browser. */
  readonly shared?: boolean;
  /** The most that the arena may grow to; 4 GiB, or what the platform gives, without it. */
  readonly maxBytes?: number;
  /** A module from `compileKernels`, so that a worker need not compile it again. */
  readonly module?: WebAssembly.Module;
  /**
   * A memory that exists already, usually another thread's: this instance takes it from `at`, a multiple of 16.
   * The owner sets aside `SCRATCH_BYTES` there, and as much more as this arena is to hand out.
   */
  readonly within?: { readonly memory: WebAssembly.Memory; readonly at: Address };
}

/**
 * Loads the kernels over a new memory; `build` of the result says which they are.
 *
 * With a `build` or a `module` that one is loaded or the call fails; without, it falls back from SIMD to plain
 * to TypeScript (WebAssembly is missing, or the page's Content-Security-Policy forbids it). On failure nothing is
 * left behind.
 *
 * Throws `kernel-unavailable` (the asked-for build does not run here), `unsupported` (shared memory without
 * SharedArrayBuffer or without WebAssembly) and `memory-exhausted`.
 *
 * @example const kernels = await loadKernels();
 */
export async function loadKernels(options: KernelOptions = {}): Promise<Kernels> {
  const shared = options.within ? isShared(options.within.memory) : (options.shared ?? false);
  if (shared && typeof SharedArrayBuffer === 'undefined') {
    throw new VitrineError('unsupported', { missing: 'SharedArrayBuffer' });
  }
  const module = options.module ?? (await chooseModule(options.build, shared));
  if (module === undefined) {
    if (shared || options.within) throw new VitrineError('unsupported', { missing: 'WebAssembly' });
    return loadReference(options.maxBytes ?? DEFAULT_REFERENCE_BYTES);
  }
  const memory = options.within?.memory ?? createMemory({ shared, maxBytes: options.maxBytes });
  return instantiateKernels(module, memory, options.within?.at ?? FIRST_ADDRESS);
}

/**
 * The compiled module of a build, the same one each time; it can be sent to workers.
 *
 * `shared` says which kind of memory it will be instantiated with. Throws `kernel-unavailable`.
 */
export function compileKernels(build: WasmBuild, shared = false): Promise<WebAssembly.Module> {
  const key = `${build}${shared ? ' shared' : ''}`;
  const known = modules.get(key);
  if (known !== undefined) return known;
  const compiled = compile(build, shared).catch((cause: unknown) => {
    modules.delete(key);
    throw new VitrineError('kernel-unavailable', { build }, { cause });
  });
  modules.set(key, compiled);
  return compiled;
}

/** Hardly anywhere needed, and so not in what every page loads. */
async function loadReference(maxBytes: number): Promise<Kernels> {
  let reference: typeof import('./reference.ts');
  try {
    reference = await import('./reference.ts');
  } catch (cause) {
    throw new VitrineError('kernel-unavailable', { build: 'reference' }, { cause });
  }
  return reference.createReferenceKernels(maxBytes);
}

/** The module to use, or undefined for the reference. */
async function chooseModule(build: KernelBuild | undefined, shared: boolean) {
  if (build === 'reference') return undefined;
  if (build !== undefined) return compileKernels(build, shared);
  if (typeof WebAssembly === 'undefined') return undefined;
  if (WebAssembly.validate(SIMD_PROBE)) {
    const simd = await compileKernels('simd', shared).catch(ignore);
    if (simd !== undefined) return simd;
  }
  return compileKernels('plain', shared).catch(ignore);
}

async function compile(build: WasmBuild, shared: boolean): Promise<WebAssembly.Module> {
  // Two literal imports, so that a bundler makes one chunk of each and the page loads only one.
  const { HEX, MEMORY_FLAGS_AT } =
    build === 'simd' ? await import('./generated/simd.ts') : await import('./generated/plain.ts');
  const binary = fromHex(HEX)!; // Safe: the build writes hexadecimal.
  if (shared) binary[MEMORY_FLAGS_AT] = SHARED_MEMORY_FLAGS;
  return WebAssembly.compile(binary);
}

function isShared(memory: WebAssembly.Memory): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && memory.buffer instanceof SharedArrayBuffer;
}

/** A build that does not run here is a reason to try the next one. */
function ignore(): undefined {
  return undefined;
}
