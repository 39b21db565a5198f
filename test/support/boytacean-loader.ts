// Boytacean of the development dependencies: each call gives another copy of its loader, which knows one instance alone.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { type OwnedBytes, ownBytes } from '../../src/base/bytes.ts';
import type { BoytaceanLoader } from '../../src/guest/boytacean/boytacean.ts';

const FILE = createRequire(import.meta.url).resolve('boytacean');
let copies = 0;

export function loadBoytacean(): Promise<BoytaceanLoader> {
  return import(/* @vite-ignore */ `${pathToFileURL(FILE).href}?copy=${copies++}`);
}

export function boytaceanModule(): OwnedBytes {
  return ownBytes(readFileSync(FILE.replace('boytacean.js', 'boytacean_bg.wasm')));
}
