// What a bridge's configuration says of profiles: read as machines, and refused by its place where it makes none.

import { expect, it } from 'vitest';
import { configOf } from '../../../src/host/bridge/serve-config.ts';

it('has profiles, which are machines', () => {
  const lab = { memory: '256M', arguments: ['-vga', 'std', '-drive', 'file=/lab.qcow2,if=virtio'] };
  const { profiles } = configOf({ profiles: { lab, small: {} } });
  expect(profiles).toEqual({
    lab: {
      profile: { memoryBytes: 256 << 20, display: 'vga', vnc: true },
      disks: [{ name: 'disk0', file: '/lab.qcow2', format: 'qcow2' }],
    },
    small: { profile: {}, disks: [] },
  });
  expect(configOf({}).profiles).toEqual({});
});

it('has processes that may wait, told by a flag or the file', () => {
  expect([{}, { spare: 0 }, { spare: '4' }].map((settings) => configOf(settings).spare)).toEqual([1, 0, 4]);
});

it.each([
  ['more that wait than a host has', { spare: 65 }],
  ['a part of one that waits', { spare: 0.5 }],
  ['no number of those that wait', { spare: 'all' }],
  ['no object', { profiles: ['lab'] }],
  ['a name that no profile has', { profiles: { 'a b': {} } }],
  ['a key that none has', { profiles: { lab: { kernel: 'vmlinuz' } } }],
  ['memory that is none', { profiles: { lab: { memory: 'much' } } }],
  ['arguments that the bridge sets itself', { profiles: { lab: { arguments: ['-S'] } } }],
  ['an adapter that there is not', { profiles: { lab: { arguments: ['-vga', 'qxl'] } } }],
])('refuses %s', (_, settings) => {
  expect(() => configOf(settings)).toThrow(expect.objectContaining({ code: 'argument-invalid' }));
});
