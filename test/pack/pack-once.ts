// Before the tests of the package: it is built and packed, once for all of them, and removed after the last.

import type { TestProject } from 'vitest/node';
import { makeFolder, pack, removeFolder, type Tarball } from './blank-project.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    tarball: Tarball;
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await makeFolder();
  project.provide('tarball', await pack(folder));
  return () => removeFolder(folder);
}
