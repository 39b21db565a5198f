// Zstandard frames (RFC 8878), by the reference library compiled to WebAssembly (npm `@bokuweb/zstd-wasm`):
// 80 KB compressed, so it is loaded only when a save asks for it or a pack holds it.
//
// The library's decoder allocates what the frame header claims, before it decodes. So a header is read here first,
// and only one form is let through: what the library itself writes for a frame of ours, with the content size in
// it and no dictionary. The claim must be the length that the pack's index gives.

import type { OwnedBytes } from '../base/bytes.ts';
import { copyBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import type { Effort } from '../format/frame-codecs.ts';
import { type Codec, MAX_ENCODED_BYTES } from './codec.ts';

export const ZSTD_ID = 3;

/**
 * Levels by effort. On frames of a process's memory level 1 wrote 205 MB/s at ratio 2.29, 9 wrote 34 at 2.61, 19
 * wrote 4 at 2.74; on frames of deltas level 1 was smallest of all. `none` and `fast` do not try zstd.
 */
const LEVELS = { none: 1, fast: 1, balanced: 1, small: 9 } as const satisfies Record<Effort, number>;

const MAGIC = 0xfd2f_b528;
const SINGLE_SEGMENT = 0x20;
/** Reserved bit, checksum flag and dictionary id: none of them is written. */
const FORBIDDEN = 0x0f | 0x10;

/** Time to fetch and compile 80 KB over a slow line. */
const START_TIMEOUT_MS = 30_000;

interface Zstd {
  compress(bytes: Uint8Array, level: number): Uint8Array;
  decompress(bytes: Uint8Array): Uint8Array;
}

/**
 * One for the process: the library keeps one instance, and a second `init` replaces it without waiting until the
 * new one is ready, so that what is encoded meanwhile is garbage.
 */
let starting: Promise<Zstd> | undefined;

/** Loads the library. Throws `kernel-unavailable` when the platform does not. */
export async function loadZstd(): Promise<Codec> {
  try {
    starting ??= start();
    return new ZstdCodec(await starting);
  } catch (cause) {
    starting = undefined;
    throw new VitrineError('kernel-unavailable', { codec: 'zstd' }, { cause });
  }
}

async function start(): Promise<Zstd> {
  const zstd = await import('@bokuweb/zstd-wasm');
  // The library never settles when its file cannot be fetched.
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('zstd did not start in time')), START_TIMEOUT_MS);
  });
  try {
    await Promise.race([zstd.init(), timeout]);
  } finally {
    clearTimeout(timer);
  }
  return zstd;
}

class ZstdCodec implements Codec {
  readonly id = ZSTD_ID;
  readonly name = 'zstd';
  readonly #zstd: Zstd;

  constructor(zstd: Zstd) {
    this.#zstd = zstd;
  }

  encode(bytes: Uint8Array, effort: Effort): OwnedBytes {
    return copyBytes(this.#zstd.compress(bytes, LEVELS[effort]));
  }

  decode(bytes: Uint8Array, plainLength: number): OwnedBytes {
    const data = { codec: 'zstd', lengthBytes: bytes.length, plainLength };
    const isBounded = bytes.length <= MAX_ENCODED_BYTES && plainLength <= LIMITS.frameBytes;
    if (!isBounded || contentSize(bytes) !== plainLength) throw new VitrineError('codec-damaged', data);
    let plain: Uint8Array;
    try {
      plain = this.#zstd.decompress(bytes);
    } catch (cause) {
      throw new VitrineError('codec-damaged', data, { cause });
    }
    if (plain.length !== plainLength) throw new VitrineError('codec-damaged', data);
    return copyBytes(plain);
  }
}

/** The content size in a frame's header (RFC 8878, section 3.1.1.1), or -1 when it is not of the one form. */
function contentSize(bytes: Uint8Array): number {
  if (bytes.length < 6) return -1;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const descriptor = view.getUint8(4);
  if (view.getUint32(0, true) !== MAGIC || (descriptor & FORBIDDEN) !== 0) return -1;
  if ((descriptor & SINGLE_SEGMENT) === 0) return -1;
  const sizeFlag = descriptor >>> 6;
  if (sizeFlag === 0) return view.getUint8(5);
  if (sizeFlag === 1) return bytes.length < 7 ? -1 : view.getUint16(5, true) + 256;
  return sizeFlag === 2 && bytes.length >= 9 ? view.getUint32(5, true) : -1;
}
