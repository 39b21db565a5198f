// Lists of options as QEMU splits them.

import { describe, expect, it } from 'vitest';
import { optionsIn, quoted, unquoted } from '../../../src/host/qemu/option-list.ts';

describe('a list of options', () => {
  it.each([
    ['', ['']],
    ['a', ['a']],
    ['a,b=1', ['a', 'b=1']],
    ['file=a,,b,if=virtio', ['file=a,,b', 'if=virtio']],
    ['a,,,b', ['a,,', 'b']],
    ['a,', ['a', '']],
    [',,', [',,']],
  ])('%j is split where a comma stands alone', (list, options) => {
    expect(optionsIn(list)).toEqual(options);
    expect(options.join(',')).toBe(list);
  });

  it('holds values with commas', () => {
    for (const value of ['a', 'a,b', ',', ',,a,']) {
      expect(unquoted(quoted(value))).toBe(value);
      expect(optionsIn(`file=${quoted(value)}`)).toHaveLength(1);
    }
  });
});
