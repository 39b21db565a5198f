// What goes on of what a viewer sends: whole or byte by byte, with input and without.

import { describe, expect, it } from 'vitest';
import { concatBytes, type OwnedBytes } from '../../src/base/bytes.ts';
import { RfbFilter } from '../../src/bridge/rfb-filter.ts';
import { piecesOf } from '../support/channel-pair.ts';

const ascii = (text: string): OwnedBytes => new TextEncoder().encode(text);
const bytes = (...values: readonly number[]): OwnedBytes => Uint8Array.from(values);
const OPENING = concatBytes([ascii('RFB 003.008\n'), bytes(1, 0)]);
const OPENED = concatBytes([ascii('RFB 003.008\n'), bytes(1, 1)]);

const PIXELS = bytes(0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0);
const ASKED = bytes(3, 1, 0, 0, 0, 0, 2, 128, 1, 224);
const KEY = bytes(4, 1, 0, 0, 0, 0, 0, 0x61);
const POINTER = bytes(5, 1, 0, 20, 0, 30);
const QEMU_KEY = bytes(255, 0, 0, 1, 0, 0, 0, 0x61, 0, 0, 0, 30);
const SOUND_ON = bytes(255, 1, 0, 0);
const SOUND_FORM = bytes(255, 1, 0, 2, 3, 2, 0, 0, 172, 68);
const COPIED = concatBytes([bytes(6, 0, 0, 0, 0, 0, 0, 5), ascii('\x04\x01\x00\x00x')]);
/** Of the other form: its length is told as a negative number. */
const COPIED_OTHERWISE = concatBytes([bytes(6, 0, 0, 0, 255, 255, 255, 252), bytes(4, 4, 4, 4)]);
const SIZE = concatBytes([bytes(251, 0, 4, 0, 3, 0, 1, 0), new Uint8Array(16).fill(4)]);

function encodings(...values: readonly number[]): OwnedBytes {
  const made = new Uint8Array(4 + 4 * values.length);
  const view = new DataView(made.buffer);
  view.setUint8(0, 2);
  view.setUint16(2, values.length);
  for (const [index, value] of values.entries()) view.setInt32(4 + 4 * index, value);
  return made;
}

/** Pictures and what goes with them; then fences, sound, what was copied, more pointer buttons. */
const NAMED = encodings(7, 0, -26, -258, -312, -313, -259, -1063131698, -316);
const ALLOWED = encodings(7, 0, -26, -258);

const ALL = [
  ...[PIXELS, NAMED, ASKED, KEY, COPIED, POINTER, SOUND_ON, SOUND_FORM, QEMU_KEY],
  ...[SIZE, COPIED_OTHERWISE, ASKED],
];
const LOOKED = [PIXELS, ALLOWED, ASKED, ASKED];
const TYPED = [PIXELS, ALLOWED, ASKED, KEY, POINTER, QEMU_KEY, ASKED];

for (const pieceBytes of [1, 3, 1 << 20]) {
  describe(`what a viewer sends, ${pieceBytes} bytes at a time`, () => {
    const passed = (input: boolean, ...sent: readonly OwnedBytes[]): OwnedBytes => {
      const filter = new RfbFilter({ input });
      return concatBytes(
        piecesOf(concatBytes([OPENING, ...sent]), pieceBytes).map((piece) => filter.push(piece)),
      );
    };

    it('is no key and no pointer from whoever may look alone', () => {
      expect(passed(false, ...ALL)).toEqual(concatBytes([OPENED, ...LOOKED]));
    });

    it('has keys and the pointer from whoever may type, and nothing beyond', () => {
      expect(passed(true, ...ALL)).toEqual(concatBytes([OPENED, ...TYPED]));
    });

    it.each([
      ['another version', [ascii('RFB 003.003\n')]],
      ['a method of authentication', [ascii('RFB 003.008\n'), bytes(2)]],
      ['a message that it does not know', [OPENING, bytes(150, 1, 0, 0, 0, 0, 0, 0, 0, 0)]],
      ['one of QEMU that it does not know', [OPENING, bytes(255, 2)]],
      ['more encodings than there are', [OPENING, bytes(2, 0, 255, 255)]],
    ])('ends with %s', (_, sent) => {
      const filter = new RfbFilter({ input: true });
      const code = expect.stringMatching(/^format-(range|tag|limit)$/);
      expect(() => {
        for (const piece of piecesOf(concatBytes(sent), pieceBytes)) filter.push(piece);
      }).toThrow(expect.objectContaining({ code }));
    });
  });
}

it('keeps nothing of a text, however long it says it is', () => {
  const filter = new RfbFilter({ input: true });
  filter.push(OPENING);
  filter.push(bytes(6, 0, 0, 0, 127, 255, 255, 255));
  for (let part = 0; part < 64; part++) expect(filter.push(KEY)).toHaveLength(0);
});
