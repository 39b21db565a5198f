// Where this program's own package is: its version, and the page and images that were built beside it.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface PackagePlace {
  readonly folder: string;
  readonly version: string;
}

/** The nearest folder above this file with this package's own package.json: a tree that is built, or one installed. */
export function findPackage(from = dirname(fileURLToPath(import.meta.url))): PackagePlace {
  for (let folder = from; ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file)) {
      const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string };
      if (name === 'vitrine') return { folder, version: version ?? '0.0.0' };
    }
    if (dirname(folder) === folder) return { folder: from, version: '0.0.0' };
  }
}

/** A folder of the package, if it was built. */
export function folderOfPackage(...path: readonly string[]): string | undefined {
  const folder = join(findPackage().folder, ...path);
  return existsSync(folder) ? folder : undefined;
}
