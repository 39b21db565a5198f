// Memory worth encoding, and a way to compare it across processes and tabs.

/** Bytes that compress: words of a small vocabulary, in an order that does not repeat. */
export function textual(lengthBytes) {
  const bytes = new Uint8Array(lengthBytes);
  const words = ['page ', 'span ', 'region ', 'mirror ', 'guest '].map((word) =>
    new TextEncoder().encode(word),
  );
  let random = 1;
  for (let at = 0; at < lengthBytes; ) {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
    const word = words[(random >>> 16) % words.length];
    bytes.set(word.subarray(0, lengthBytes - at), at);
    at += word.length;
  }
  return bytes;
}

/** SHA-256, as hexadecimal: by the platform, not by the package under test. */
export async function digestOf(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
