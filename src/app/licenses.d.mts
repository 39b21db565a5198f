// Types of licenses.mjs, which is plain JavaScript since the package's build runs it before anything is built.

import type { Plugin } from 'vite';

export function licensesOf(names: readonly string[]): Promise<string>;
export function collectLicenses(): { readonly page: Plugin[]; readonly worker: Plugin[] };
