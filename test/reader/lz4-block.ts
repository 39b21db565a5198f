// An LZ4 block decoder, from the description of the block format alone.

import { refuse } from './cursor.ts';

/** Exactly `plainLength` bytes. */
export function decodeLz4Block(block: Uint8Array, plainLength: number): Uint8Array {
  const plain = new Uint8Array(plainLength);
  let read = 0;
  let written = 0;
  const next = () => block[read++] ?? refuse('lz4: the block ends early');
  const extend = (length: number) => {
    if (length < 15) return length;
    let byte: number;
    let sum = length;
    do {
      byte = next();
      sum += byte;
    } while (byte === 255);
    return sum;
  };
  while (read < block.length) {
    const token = next();
    const literals = extend(token >> 4);
    if (read + literals > block.length || written + literals > plainLength) refuse('lz4: literals');
    plain.set(block.subarray(read, read + literals), written);
    read += literals;
    written += literals;
    if (read === block.length) break;
    const distance = next() | (next() << 8);
    const length = extend(token & 15) + 4;
    if (distance === 0 || distance > written || written + length > plainLength) refuse('lz4: match');
    for (const end = written + length; written < end; written++) plain[written] = plain[written - distance]!;
  }
  if (written !== plainLength) refuse(`lz4: ${written} bytes, not ${plainLength}`);
  return plain;
}
