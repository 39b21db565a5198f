// What is said of a machine that has no memory to look at yet, or none any more.

import { expect, it } from 'vitest';
import type { HostMachine } from '../../src/bridge/host.ts';
import { running } from '../../src/bridge/running.ts';

it.each([
  // After a lazy restore its program runs at once, and its memory comes as it asks for it.
  ['running', 'its memory is on its way'],
  ['stopped', 'stopped'],
  ['lost', 'lost'],
] as const)('of one that is %s: %s', (state, actual) => {
  const machine = { name: 'web', state, machine: null } as unknown as HostMachine;
  expect(() => running(machine)).toThrow(
    expect.objectContaining({ code: 'wrong-state', data: { machine: 'web', actual, required: 'running' } }),
  );
});
