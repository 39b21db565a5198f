// Parts that are loaded when they are first used: what most pages never ask for is not in what every page pays.
//
// A part is a module that its user imports by `import()`, so that bundlers make a chunk of it. Saving and restoring are no
// parts: a page that was opened before a site was published anew, and whose old chunks are gone, has to be able to do both.

import { VitrineError } from './error.ts';

/**
 * The module of a part. Nothing may have been begun that its absence would leave half done.
 *
 * Throws `part-unavailable` with the platform's own error as cause; browsers differ in whether a second try fetches again.
 *
 * @example const { Checkpoint } = await loadPart('checkpoint', () => import('./checkpoint.ts'));
 */
export async function loadPart<Part>(part: string, load: () => Promise<Part>): Promise<Part> {
  try {
    return await load();
  } catch (cause) {
    throw new VitrineError('part-unavailable', { part }, { cause });
  }
}
