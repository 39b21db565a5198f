// Who may have QEMU serve page faults by itself, from what a kernel tells of it.

import { describe, expect, it } from 'vitest';
import { whyNoUserfaultfd } from '../../../src/host/qemu/userfaultfd.ts';

const ROOT = 'Name:\tnode\nCapEff:\t000001ffffffffff\n';
const USER = 'Name:\tnode\nCapEff:\t0000000000000000\n';
/** As root in a container has them. */
const CONTAINED = 'Name:\tnode\nCapEff:\t00000000a80425fb\n';

describe('page faults that QEMU serves', () => {
  it.each([
    ['root', { status: ROOT, allowed: '0\n', hasDevice: false }],
    ['a user of a host that lets all', { status: USER, allowed: '1\n', hasDevice: false }],
    ['a user who may open the device', { status: USER, allowed: '0\n', hasDevice: true }],
    ['a host that tells nothing of its users', { status: '', allowed: '1\n', hasDevice: false }],
  ])('are for %s', (_, facts) => {
    expect(whyNoUserfaultfd(facts)).toBeUndefined();
  });

  it.each([
    ['a user', { status: USER, allowed: '0\n', hasDevice: false }, 'vm.unprivileged_userfaultfd is 0'],
    ['root of a container', { status: CONTAINED, allowed: '0\n', hasDevice: false }, 'vm.unprivileged'],
    [
      'a user of a kernel without them',
      { status: USER, allowed: undefined, hasDevice: false },
      'this kernel',
    ],
  ])('are not for %s', (_, facts, why) => {
    expect(whyNoUserfaultfd(facts)).toContain(why);
  });
});
