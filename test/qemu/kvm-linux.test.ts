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

/** What was seen is told whole where it is not as it has to be. */
function expectFact(fact: object | undefined, wanted: object): void {
  expect(fact, JSON.stringify(fact)).toMatchObject(wanted);
}

it(
  'is saved, killed, and goes on with the exact next number wherever it is brought back',
  async () => {
    const seen = seenIn(await runInside(QEMUS[0]!.program, 'kvm-program.ts', INSIDE));
    expectFact(seen.get('stored in memory files'), { isSame: true });
    expectFact(seen.get('choice'), {
      accelerator: 'kvm',
      because: expect.stringMatching(/long mode/),
    });
    expectFact(seen.get('live proof'), { method: 'precopy' });
    expectFact(seen.get('booted'), {
      loaded: '',
      uname: 'Linux x86_64',
      clock: 'kvm-clock',
      says: 'Hypervisor detected: KVM',
    });
    expectFact(seen.get('saved at rest'), { fault: 'none', differing: 0 });
    expectFact(seen.get('went on'), { fault: 'none' });

    // By what changed, as that kernel tells it: two saves compare all, then what it told is all that is looked at.
    const marked = seen.get('saved by marks') as { readonly looked: readonly number[] };
    expectFact(marked, { faults: ['none'], tier: 'marks' });
    for (const pages of marked.looked.slice(2)) expect(pages).toBeLessThan(ALL_PAGES / 4);
    const marks = seen.get('marks') as { readonly takes: number; readonly differing: number };
    expectFact(marks, { missed: 0, unknown: 0 });
    expect(marks.takes).toBeGreaterThanOrEqual(3);
    expect(marks.differing).toBeGreaterThan(marks.takes);
    expectFact(seen.get('saved running'), { mode: 'stream', faults: ['none'] });

    const back = seen.get('brought back') as Record<'inProcess' | 'inPlace' | 'afterResets', number>;
    expectFact(back, { wentOn: 'none', resets: ['none'] });
    for (const pages of [back.inProcess, back.inPlace, back.afterResets]) {
      expect(pages).toBeLessThanOrEqual(CLOCK_PAGES);
    }
    expectFact(seen.get('brought back, of one that ran'), { isLater: true, complaints: 'none' });
    expectFact(seen.get('asked'), { saved: 'saved ID\none' });
    expectFact(seen.get('cloned and lazy'), {
      cloned: ['none', 'none'],
      lazily: 'none',
      whole: 'none',
    });
    expect(seen.has('end')).toBe(true);
  },
  TIMEOUT_MS,
);
