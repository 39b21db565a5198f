// What a machine was made of, for a mirror that begins as that: the image of a clone. The mirror has it open by itself, and so has
// it still when the machine moves into another process.

import { closeSync, openSync, readSync } from 'node:fs';
import { VitrineError } from '../../base/error.ts';
import type { MirrorOrigin } from '../../tracking/mirror-origin.ts';
import type { RamRange } from './physmap.ts';
import type { Ram } from './process-ram.ts';
import type { RamMarks } from './ram-marks.ts';

/** Of a clone, whose marks tell from now on what it wrote since, and never all pages. Nothing of other machines. */
export function originOf(
  { imagePath }: Ram,
  ranges: readonly RamRange[],
  marks: RamMarks,
): { readonly origin?: MirrorOrigin } {
  if (imagePath === undefined) return {};
  const file = openSync(imagePath, 'r');
  marks.knowOrigin?.();
  const read: MirrorOrigin['read'] = (region, offsetBytes, into) => {
    const at = ranges[region]!.offsetBytes + offsetBytes;
    for (let done = 0; done < into.length; ) {
      const count = readSync(file, into, done, into.length - done, at + done);
      if (count === 0) throw new VitrineError('guest-failed', { reason: 'the RAM image became shorter' });
      done += count;
    }
  };
  return { origin: { read, close: () => closeSync(file) } };
}
