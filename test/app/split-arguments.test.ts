// Lines of arguments parted as a shell parts them.

import { expect, it } from 'vitest';
import { splitArguments } from '../../src/app/split-arguments.ts';

it.each([
  ['', []],
  ['  -m 1G\t-smp 2 ', ['-m', '1G', '-smp', '2']],
  ['-append "console=ttyS0 quiet" -S', ['-append', 'console=ttyS0 quiet', '-S']],
  [`-name 'a "b"' "it's"`, ['-name', 'a "b"', "it's"]],
  ['file="a b".img,if=virtio', ['file=a b.img,if=virtio']],
  [String.raw`a\ b "c\"d" 'e\f'`, ['a b', 'c"d', String.raw`e\f`]],
  [`"" ''`, ['', '']],
])('%s', (line, expected) => {
  expect(splitArguments(line)).toEqual(expected);
});

it('wants quotes closed', () => {
  expect(() => splitArguments('-append "console')).toThrow(
    expect.objectContaining({ code: 'argument-invalid' }),
  );
});
