// The MicroPython of the development dependencies: its package has no types, and no loader options for a file's place.

import { createRequire } from 'node:module';
// @ts-expect-error The package brings no declarations.
import { loadMicroPython as untyped } from '@micropython/micropython-webassembly-pyscript';
import type { LoadMicroPython } from '../../src/guest/micropython/micropython.ts';

export const loadMicroPython: LoadMicroPython = untyped;

export const wasmUrl: string = createRequire(import.meta.url).resolve(
  '@micropython/micropython-webassembly-pyscript/micropython.wasm',
);
