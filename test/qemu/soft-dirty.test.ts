// Soft-dirty bits on a kernel that has them: Debian's for amd64, booted here, with a QEMU machine inside of it. The kernel that this
// runs on may have none.

import { expect, it } from 'vitest';
import { runInside } from './inside/inside-linux.ts';
import { seenIn } from './inside/tell.ts';
import { QEMUS } from './pulse-machine.ts';

/** Of a machine there: 16 MiB. */
const ALL_PAGES = 4096;

/** What `inside/marks-program.ts` tells of one machine. */
interface Driven {
  readonly takes: number;
  readonly unknown: number;
  readonly told: number;
  readonly differing: number;
  readonly missed: number;
  readonly looked: readonly number[];
  readonly tier: string;
  readonly tierReason: string;
  readonly faults: readonly string[];
}

it('tell every page that was written, on Debian for amd64, whoever looks', async () => {
  const seen = seenIn(await runInside(QEMUS[0]!.program, 'marks-program.ts'));
  expect(seen.get('self-test')).toMatchObject({ marks: { works: true } });

  for (const [name, fewestTakes] of [
    ['copied', 12],
    // It has no checkpoints.
    ['digests', 6],
  ] as const) {
    const driven = seen.get(name) as Driven;
    expect(driven).toMatchObject({ tier: 'marks', missed: 0, unknown: 0, faults: ['none'] });
    expect(driven.tierReason).toBe('the kernel tells what was written, by soft-dirty bits');
    // Many takes, and something changed in most of them: nothing is proven by a machine that rests.
    expect(driven.takes).toBeGreaterThanOrEqual(fewestTakes);
    expect(driven.differing).toBeGreaterThan(driven.takes);
    // What is told is what was written, and the page that stands for the bits themselves.
    expect(driven.told).toBeLessThanOrEqual(driven.differing * 2 + driven.takes);
    // Two scans are compared with the marks, then only what was written is looked at.
    expect(driven.looked.slice(0, 2)).toEqual([ALL_PAGES, ALL_PAGES]);
    for (const pages of driven.looked.slice(3)) expect(pages).toBeLessThan(ALL_PAGES / 4);

    expect(seen.get(`${name}: cleared by another`)).toMatchObject({
      unknown: 1,
      why: expect.stringContaining('others cleared the bits of its process'),
    });
  }
  expect(seen.has('end')).toBe(true);
});
