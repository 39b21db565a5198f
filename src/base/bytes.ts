// Byte arrays that are ours alone. A view on a SharedArrayBuffer is refused by IndexedDB, crypto and sockets and
// may change while it is read; OwnedBytes lets the compiler tell the two apart.

/** Bytes that no other agent can change: everything stored, sent, digested by the platform or returned. */
export type OwnedBytes = Uint8Array<ArrayBuffer>;

/** The smallest that platforms have. */
const PLATFORM_PAGE_BYTES = 4_096;

/** A copy of `bytes` that is ours. */
export function copyBytes(bytes: Uint8Array): OwnedBytes {
  const copy = new Uint8Array(bytes.length);
  copy.set(bytes);
  return copy;
}

/** `bytes` itself when it is ours already, a copy when it is a view on shared memory. */
export function ownBytes(bytes: Uint8Array): OwnedBytes {
  // Safe: the check is the definition of the type.
  return bytes.buffer instanceof ArrayBuffer ? (bytes as OwnedBytes) : copyBytes(bytes);
}

/** Whether two arrays hold the same bytes. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * Zeros whose memory is there already: a platform gives new memory out page by page as it is first written. For who waits for
 * something now, and writes when he has no time.
 */
export function readyBytes(lengthBytes: number): OwnedBytes {
  const bytes = new Uint8Array(lengthBytes);
  for (let at = 0; at < lengthBytes; at += PLATFORM_PAGE_BYTES) bytes[at] = 0;
  return bytes;
}

/** All of `parts` one after another, in a new array. */
export function concatBytes(parts: readonly Uint8Array[]): OwnedBytes {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const HEX = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, '0'));

/** Lower-case hexadecimal, two digits a byte. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += HEX[bytes[i]!]!;
  return text;
}

/** The bytes of a hexadecimal text, or undefined when it is not one. */
export function fromHex(text: string): OwnedBytes | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
