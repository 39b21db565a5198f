// A part that is loaded when it is first used: its module, or one code for whatever kept it away.

import { describe, expect, it } from 'vitest';
import { loadPart } from '../../src/base/part.ts';

describe('a part', () => {
  it('is what its import gives', async () => {
    expect(await loadPart('seven', async () => ({ seven: 7 }))).toEqual({ seven: 7 });
  });

  it('says which it is when it cannot be had, keeps why, and is asked for again', async () => {
    const cause = new TypeError('Failed to fetch dynamically imported module');
    const answers = [() => Promise.reject(cause), async () => 'here'];
    const load = () => answers.shift()!();
    await expect(loadPart('diff', load)).rejects.toMatchObject({
      code: 'part-unavailable',
      data: { part: 'diff' },
      cause,
    });
    expect(await loadPart('diff', load)).toBe('here');
  });
});
