// What a guest writes to its doorbell: what is a ring, and what is none; and the record of who waits.

import { describe, expect, it } from 'vitest';
import {
  answerLine,
  decodeBellRecord,
  encodeBellRecord,
  isBellRecord,
  NOBODY_WAITS,
  readRing,
  tagOf,
} from '../../../src/host/qemu/bell-line.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';

describe('a line at the doorbell', () => {
  it('is a word, a label, a tag', () => {
    const ring = (word: string, label = '', tag = '') => ({ word, label, tag });
    expect(readRing('save')).toEqual(ring('save'));
    expect(readRing(' save  before the upgrade \r')).toEqual(ring('save', 'before the upgrade'));
    expect(readRing('save a #17')).toEqual(ring('save', 'a', '#17'));
    expect(readRing('save übung 1 #a.b-c')).toEqual(ring('save', 'übung 1', '#a.b-c'));
    expect(readRing('checkpoint #1')).toEqual(ring('checkpoint', '', '#1'));
    expect(readRing('reset')).toEqual(ring('reset'));
  });

  const none = [
    '',
    'sav',
    'saved',
    'SAVE',
    'reset now',
    'checkpoint here',
    'savelabel',
    'save \u0007',
    'save a\u001b[2J',
    `save ${'ü'.repeat(600)}`,
    `reset #${'1'.repeat(33)}`,
  ];
  it.each(none)('is none: %j', (line) => {
    expect(readRing(line)).toBeUndefined();
  });

  it('has a tag also where it is none', () => {
    expect(tagOf('dance #7')).toBe('#7');
    expect(tagOf('#7')).toBe('#7');
    expect(tagOf('dance#7')).toBe('');
    expect(tagOf(`dance #${'7'.repeat(33)}`)).toBe('');
  });

  it('is answered with words alone', () => {
    expect(answerLine(['saved', 'a1', ''])).toBe('saved a1\n');
    expect(answerLine(['restored', '', '#1'])).toBe('restored #1\n');
  });
});

describe('the record of who waits', () => {
  it('comes back as it was', () => {
    for (const waits of [null, '', '#1']) {
      const record = encodeBellRecord(waits);
      expect(isBellRecord(record)).toBe(true);
      expect(decodeBellRecord(record)).toBe(waits);
    }
    expect(decodeBellRecord(NOBODY_WAITS)).toBeNull();
    expect(isBellRecord({ ...NOBODY_WAITS, name: 'bellows' })).toBe(false);
  });

  const invalid = ['', '{', 'null', '{}', '{"waits":1}', '{"waits":"1"}', '{"waits":"#1\\nsaved"}', '\xff'];
  it.each(invalid)('is refused as %j', async (text) => {
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    expect(await codeOf(() => decodeBellRecord({ ...NOBODY_WAITS, bytes }))).toBe('guest-state-invalid');
  });

  it('is refused in another version', async () => {
    expect(await codeOf(() => decodeBellRecord({ ...NOBODY_WAITS, version: 2 }))).toBe('guest-state-invalid');
  });
});
