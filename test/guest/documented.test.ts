// What the documentation of guests calls can be called by whoever has the package alone: each function of this tree that a
// block of code uses is at an entry of the package.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SOURCES = join(ROOT, 'src');

/** Files under `src` that end so, by their paths there. */
async function filesOf(ending: string): Promise<readonly string[]> {
  const paths = await readdir(SOURCES, { recursive: true });
  return paths.filter((path) => path.endsWith(ending));
}

/** Everything that the sources of the package's entries export as a value. */
async function exportedNames(): Promise<ReadonlySet<string>> {
  const { exports } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { default: string }>;
  };
  const names = new Set<string>();
  for (const entry of Object.values(exports)) {
    if (typeof entry === 'string') continue;
    const file = entry.default.replace('./dist/lib/', '').replace(/\.js$/, '.ts');
    // A worker does its work as it is imported.
    if (file === 'worker.ts') continue;
    const module = (await import(/* @vite-ignore */ join(SOURCES, file))) as object;
    for (const name of Object.keys(module)) names.add(name);
  }
  return names;
}

/** Every function and class that any source exports. */
async function ownNames(): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  for (const file of await filesOf('.ts')) {
    const text = await readFile(join(SOURCES, file), 'utf8');
    for (const [, name] of text.matchAll(/^export (?:async )?(?:function|class)\*? (\w+)/gm))
      names.add(name!);
  }
  return names;
}

describe('the documentation of guests', () => {
  it('calls only what the package gives', async () => {
    const [exported, own] = [await exportedNames(), await ownNames()];
    const missing: string[] = [];
    let calls = 0;
    for (const file of (await filesOf('.md')).filter((path) =>
      /^(guest|rewind|bundle|instrument)\//.test(path),
    )) {
      const text = await readFile(join(SOURCES, file), 'utf8');
      for (const [, code] of text.matchAll(/^```(?:ts|js)\n([\s\S]*?)^```$/gm)) {
        // Not methods, which are found where their objects come from, nor what the block declares itself.
        for (const [, name] of code!.matchAll(/(?<![.\w]|function )([A-Za-z]\w+)\(/g)) {
          if (!own.has(name!)) continue;
          calls++;
          if (!exported.has(name!)) missing.push(`${file}: ${name}`);
        }
      }
    }
    expect(missing).toEqual([]);
    expect(calls).toBeGreaterThan(20);
  });
});
