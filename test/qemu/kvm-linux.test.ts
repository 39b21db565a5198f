// A Linux with KVM, on a processor with AMD-V: both are QEMU's own translation of such a processor, on which Debian's kernel for amd64 runs with KVM
// and a QEMU inside. The processor that this runs on may have neither.

import { expect, it } from 'vitest';
import { type Inside, runInside } from './inside/inside-linux.ts';
import { seenIn } from './inside/tell.ts';
import { QEMUS } from './pulse-machine.ts';

const INSIDE: Inside = {
  drivers: ['irqbypass', 'kvm', 'kvm-amd'],
  images: ['vmlinuz-amd64', 'initrd-amd64'],
  cpu: 'max,svm=on,npt=on,la57=off',
  // With two, QEMU now and then leaves a processor that came back from a guest with that one's registers, and the kernel inside ends.
  cpus: 1,
  memoryMib: 2500,
  retries: 2,
};
/** Three minutes where it is alone. */
const TIMEOUT_MS = 1_200_000;
const ALL_PAGES = 128 * 256;
/** KVM itself writes the clock of a guest anew in every process: 32 bytes a processor. */
const CLOCK_PAGES = 1;

it(
  'is saved, killed, and goes on with the exact next number wherever it is brought back',
  async () => {
    const seen = seenIn(await runInside(QEMUS[0]!.program, 'kvm-program.ts', INSIDE));
    expect(seen.get('stored in memory files')).toMatchObject({ isSame: true });
    expect(seen.get('choice')).toMatchObject({
      accelerator: 'kvm',
      because: expect.stringMatching(/long mode/),
    });
    expect(seen.get('live proof')).toMatchObject({ method: 'precopy' });
    expect(seen.get('booted')).toMatchObject({
      loaded: '',
      uname: 'Linux x86_64',
      clock: 'kvm-clock',
      says: 'Hypervisor detected: KVM',
    });
    expect(seen.get('saved at rest')).toMatchObject({ fault: 'none', differing: 0 });
    expect(seen.get('went on')).toMatchObject({ fault: 'none' });

    // By what changed, as that kernel tells it: two saves compare all, then what it told is all that is looked at.
    const marked = seen.get('saved by marks') as { readonly looked: readonly number[] };
    expect(marked).toMatchObject({ faults: ['none'], tier: 'marks' });
    for (const pages of marked.looked.slice(2)) expect(pages).toBeLessThan(ALL_PAGES / 4);
    const marks = seen.get('marks') as { readonly takes: number; readonly differing: number };
    expect(marks).toMatchObject({ missed: 0, unknown: 0 });
    expect(marks.takes).toBeGreaterThanOrEqual(3);
    expect(marks.differing).toBeGreaterThan(marks.takes);
    expect(seen.get('saved running')).toMatchObject({ mode: 'stream', faults: ['none'] });

    const back = seen.get('brought back') as Record<'inProcess' | 'inPlace' | 'afterResets', number>;
    expect(back).toMatchObject({ wentOn: 'none', resets: ['none'] });
    for (const pages of [back.inProcess, back.inPlace, back.afterResets]) {
      expect(pages).toBeLessThanOrEqual(CLOCK_PAGES);
    }
    expect(seen.get('brought back, of one that ran')).toMatchObject({ isLater: true, complaints: 'none' });
    expect(seen.get('asked')).toMatchObject({ saved: 'saved ID\none' });
    expect(seen.get('cloned and lazy')).toMatchObject({
      cloned: ['none', 'none'],
      lazily: 'none',
      whole: 'none',
    });
    expect(seen.has('end')).toBe(true);
  },
  TIMEOUT_MS,
);
