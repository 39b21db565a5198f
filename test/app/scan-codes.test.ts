// Scan codes against the manual's table, some of each kind, and that no two keys are one.

import { expect, it } from 'vitest';
import { scanCodesOf } from '../../src/app/scan-codes.ts';

// From the table of set 1 in the PC keyboard's manual, one of each row and kind.
it.each([
  ['Escape', [0x01], [0x81]],
  ['Digit0', [0x0b], [0x8b]],
  ['KeyQ', [0x10], [0x90]],
  ['KeyP', [0x19], [0x99]],
  ['KeyL', [0x26], [0xa6]],
  ['KeyM', [0x32], [0xb2]],
  ['Space', [0x39], [0xb9]],
  ['F12', [0x58], [0xd8]],
  ['ArrowUp', [0xe0, 0x48], [0xe0, 0xc8]],
  ['ControlRight', [0xe0, 0x1d], [0xe0, 0x9d]],
])('%s', (code, pressed, released) => {
  expect(scanCodesOf(code, 'press')).toEqual(pressed);
  expect(scanCodesOf(code, 'release')).toEqual(released);
});

it('a key that a PC does not have sends nothing', () => {
  expect(scanCodesOf('BrowserBack', 'press')).toBeUndefined();
});

it('no two keys send the same', () => {
  const names = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'].map((letter) => `Key${letter}`);
  names.push(
    ...[...'0123456789'].flatMap((digit) => [`Digit${digit}`, `Numpad${digit}`, `F${Number(digit) + 1}`]),
  );
  const sent = names.map((name) => String(scanCodesOf(name, 'press')));
  expect(new Set(sent).size).toBe(sent.length);
});
