// The sparse form of a frame, from SPEC.md section 6 alone: words that are not zero, and where they were.

import { Cursor, refuse } from './cursor.ts';

/** Exactly `plainLength` bytes of a frame of codec 4 or 5; `decodeWords` undoes the codec inside. */
export function decodeSparse(
  frame: Uint8Array,
  plainLength: number,
  decodeWords: (bytes: Uint8Array, length: number) => Uint8Array,
): Uint8Array {
  const length = new Cursor(frame).uint(2) + 1;
  const form = decodeWords(frame.slice(2), length);
  if (form.length !== length) refuse('sparse: length of the form');
  const lines = Math.ceil(plainLength / 64);
  const c = new Cursor(form);
  const map = c.take(Math.ceil(lines / 8));
  const marked = bitsOf(map);
  if (marked.some((line) => line >= lines)) refuse('sparse: a line past the end');
  const places = marked.flatMap((line) => {
    const words = bitsOf(c.take(2));
    if (words.length === 0) refuse('sparse: a mask of nothing');
    return words.map((word) => 64 * line + 4 * word);
  });
  const plain = new Uint8Array(64 * lines);
  for (const at of places) plain.set(c.take(4), at);
  c.end();
  if (plain.slice(plainLength).some((byte) => byte !== 0)) refuse('sparse: bytes past the end');
  return plain.slice(0, plainLength);
}

function bitsOf(bytes: Uint8Array): number[] {
  return Array.from({ length: 8 * bytes.length }, (_, bit) => bit).filter(
    (bit) => ((bytes[bit >> 3]! >> (bit & 7)) & 1) === 1,
  );
}
