// The code blocks of README.md that name a file, as in "```js main.mjs": what an embedder copies is what is tested.

import { readFile } from 'node:fs/promises';

/** The block of that file name. Throws when there is none, or more than one. */
export async function readmeBlock(name: string): Promise<string> {
  const text = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/^```(?:js|ts) (\S+)\n([\s\S]*?)^```$/gm)].filter(
    (match) => match[1] === name,
  );
  const [block] = blocks;
  if (block === undefined || blocks.length > 1)
    throw new Error(`README.md has ${blocks.length} blocks called ${name}`);
  return block[2]!;
}
