// BLAKE3-256, unkeyed, in plain TypeScript: the definition that the WebAssembly digests must agree with.
//
// An input is cut into chunks of 1,024 bytes and a chunk into blocks of 64. Chunks are the leaves of a binary tree
// whose left subtrees are full: the largest power of two that leaves at least one byte to the right. Each node
// is compressed to a chaining value of 32 bytes; the last compression of the whole carries ROOT and is the digest.
//
// Written for reading: it takes one compression at a time and knows nothing of lanes.
// Source: "BLAKE3: one function, fast everywhere" (2020), sections 2.1 to 2.5.

const BLOCK_BYTES = 64;
const CHUNK_BYTES = 1024;
const DIGEST_WORDS = 8;
const ROUNDS = 7;

const CHUNK_START = 1;
const CHUNK_END = 2;
const PARENT = 4;
const ROOT = 8;

/** The initial value of SHA-256: fractions of the square roots of the first eight primes. */
const INITIAL = Uint32Array.of(
  0x6a09e667,
  0xbb67ae85,
  0x3c6ef372,
  0xa54ff53a,
  0x510e527f,
  0x9b05688c,
  0x1f83d9ab,
  0x5be0cd19,
);

/** Where each message word of the next round comes from. */
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8] as const;

/** The same for all rounds, one after another, seen from the block. */
const SCHEDULE = schedule();

/** Writes the 32-byte digest of `bytes` to the start of `digest`. */
export function blake3(bytes: Uint8Array, digest: Uint8Array): void {
  const words = bytes.length <= CHUNK_BYTES ? chunk(bytes, 0, ROOT) : tree(bytes, 0, ROOT);
  const view = new DataView(digest.buffer, digest.byteOffset, 4 * DIGEST_WORDS);
  for (let i = 0; i < DIGEST_WORDS; i++) view.setUint32(4 * i, words[i]!, true);
}

/** The chaining value of more than one chunk, the first of which has index `firstChunk`. */
function tree(bytes: Uint8Array, firstChunk: number, root: number): Uint32Array {
  const leftChunks = 2 ** Math.floor(Math.log2(Math.ceil(bytes.length / CHUNK_BYTES) - 1));
  const leftBytes = leftChunks * CHUNK_BYTES;
  const message = new Uint32Array(2 * DIGEST_WORDS);
  message.set(node(bytes.subarray(0, leftBytes), firstChunk), 0);
  message.set(node(bytes.subarray(leftBytes), firstChunk + leftChunks), DIGEST_WORDS);
  return compress(INITIAL, message, 0, BLOCK_BYTES, PARENT | root);
}

function node(bytes: Uint8Array, firstChunk: number): Uint32Array {
  return bytes.length <= CHUNK_BYTES ? chunk(bytes, firstChunk, 0) : tree(bytes, firstChunk, 0);
}

/** The chaining value of at most 1,024 bytes; none at all are one empty block. */
function chunk(bytes: Uint8Array, index: number, root: number): Uint32Array {
  let chaining: Uint32Array = INITIAL;
  const blocks = Math.max(1, Math.ceil(bytes.length / BLOCK_BYTES));
  for (let i = 0; i < blocks; i++) {
    const block = bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
    const start = i === 0 ? CHUNK_START : 0;
    const end = i === blocks - 1 ? CHUNK_END | root : 0;
    chaining = compress(chaining, wordsOf(block), index, block.length, start | end);
  }
  return chaining;
}

/** Sixteen little-endian words, zeros past the end of the block. */
function wordsOf(block: Uint8Array): Uint32Array {
  const words = new Uint32Array(BLOCK_BYTES / 4);
  for (let i = 0; i < block.length; i++) words[i >> 2]! |= block[i]! << (8 * (i & 3));
  return words;
}

function compress(
  chaining: Uint32Array,
  message: Uint32Array,
  counter: number,
  blockBytes: number,
  flags: number,
): Uint32Array {
  const state = new Uint32Array(16);
  state.set(chaining);
  state.set(INITIAL.subarray(0, 4), 8);
  state[12] = counter >>> 0;
  state[13] = Math.floor(counter / 2 ** 32);
  state[14] = blockBytes;
  state[15] = flags;

  const word = (at: number) => message[SCHEDULE[at]!]!;
  for (let at = 0; at < SCHEDULE.length; at += 16) {
    mix(state, 0, 4, 8, 12, word(at), word(at + 1));
    mix(state, 1, 5, 9, 13, word(at + 2), word(at + 3));
    mix(state, 2, 6, 10, 14, word(at + 4), word(at + 5));
    mix(state, 3, 7, 11, 15, word(at + 6), word(at + 7));
    mix(state, 0, 5, 10, 15, word(at + 8), word(at + 9));
    mix(state, 1, 6, 11, 12, word(at + 10), word(at + 11));
    mix(state, 2, 7, 8, 13, word(at + 12), word(at + 13));
    mix(state, 3, 4, 9, 14, word(at + 14), word(at + 15));
  }
  for (let i = 0; i < DIGEST_WORDS; i++) state[i]! ^= state[i + 8]!;
  return state.subarray(0, DIGEST_WORDS);
}

/** The quarter round: a, b, c, d are indices of state words, x and y message words. */
function mix(s: Uint32Array, a: number, b: number, c: number, d: number, x: number, y: number): void {
  s[a] = s[a]! + s[b]! + x;
  s[d] = rotateRight(s[d]! ^ s[a]!, 16);
  s[c] = s[c]! + s[d]!;
  s[b] = rotateRight(s[b]! ^ s[c]!, 12);
  s[a] = s[a]! + s[b]! + y;
  s[d] = rotateRight(s[d]! ^ s[a]!, 8);
  s[c] = s[c]! + s[d]!;
  s[b] = rotateRight(s[b]! ^ s[c]!, 7);
}

function schedule(): Uint8Array {
  const indices = new Uint8Array(ROUNDS * PERMUTATION.length);
  let round = PERMUTATION.map((_, i) => i);
  for (let at = 0; at < indices.length; at += round.length) {
    indices.set(round, at);
    const before = round;
    round = PERMUTATION.map((from) => before[from]!);
  }
  return indices;
}

function rotateRight(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}
