// XOR of byte runs, by words where the bytes lie so. A page takes about a microsecond: too little to be worth a copy into
// kernel memory and back.

/** Makes `into` the XOR of both, which have the same length. Returns whether they differed. */
export function xorInto(into: Uint8Array, other: Uint8Array): boolean {
  const { length } = into;
  let differs = 0;
  let at = 0;
  if (((into.byteOffset | other.byteOffset) & 3) === 0) {
    const count = length >>> 2;
    const a = new Uint32Array(into.buffer, into.byteOffset, count);
    const b = new Uint32Array(other.buffer, other.byteOffset, count);
    for (let i = 0; i < count; i++) {
      const word = a[i]! ^ b[i]!;
      a[i] = word;
      differs |= word;
    }
    at = count << 2;
  }
  for (; at < length; at++) {
    const byte = into[at]! ^ other[at]!;
    into[at] = byte;
    differs |= byte;
  }
  return differs !== 0;
}

/** Whether two runs of one length hold the same bytes. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  const { length } = a;
  let at = 0;
  if (((a.byteOffset | b.byteOffset) & 3) === 0) {
    const count = length >>> 2;
    const left = new Uint32Array(a.buffer, a.byteOffset, count);
    const right = new Uint32Array(b.buffer, b.byteOffset, count);
    for (let i = 0; i < count; i++) if (left[i] !== right[i]) return false;
    at = count << 2;
  }
  for (; at < length; at++) if (a[at] !== b[at]) return false;
  return true;
}
