// A Game Boy by boytacean, a Rust program in WebAssembly, as a guest: frame by frame, each a call, between which all of it
// lies in its memory. It is small and marks its pages, so a history can have a point a frame at 60 Hz.
//
// Boytacean is the user's own copy (npm `boytacean`, Apache-2.0): its loader and the bytes of its module are handed in.
//
// The record `host`: what the console has beside the program's memory, so that a pad and a picture are there at once.
//
//   | Offset | Size   | Field                                                            |
//   |--------|--------|------------------------------------------------------------------|
//   | 0      | 1      | the keys that the program was told are down, bit n for `PAD` n   |
//   | 1      | 69,120 | the picture: 144 rows of 160 pixels, red, green, blue            |

import type { OwnedBytes } from '../../base/bytes.ts';
import { concatBytes, ownBytes, toHex } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import { blake3 } from '../../kernel/blake3.ts';
import type { CallGate } from '../wasm/call-gate.ts';
import { type CaughtInstance, catchInstance } from '../wasm/catch-instance.ts';
import { type HostState, WasmInstanceGuest } from '../wasm/wasm-instance.ts';

const HOST_VERSION = 1;
/** The module starts with 1.1 MiB and comes to 2 or 3 with a cartridge. */
const DEFAULT_MAX_MEMORY_BYTES = 16 * MIB;

/** Pixels of a picture. */
export const PICTURE = { width: 160, height: 144 } as const;
const PICTURE_BYTES = PICTURE.width * PICTURE.height * 3;

/** The console's keys, as boytacean numbers them. */
export const PAD = { up: 0, down: 1, left: 2, right: 3, start: 4, select: 5, a: 6, b: 7 } as const;
export type PadKey = keyof typeof PAD;

/** What wasm-bindgen gives its objects: an address in the program, and a way to give it up without freeing it. */
interface Bound {
  __wbg_ptr: number;
  __destroy_into_raw(): number;
}

/** What is used of boytacean's `GameBoy`. */
interface Console extends Bound {
  load_unsafe(boot: boolean): void;
  load_rom_wa(rom: Uint8Array): Bound;
  load_boot_state(): void;
  key_press(key: number): void;
  key_lift(key: number): void;
  next_frame(): number;
  frame_buffer_eager(): Uint8Array;
}

/** What is used of the package: `import * as loader from 'boytacean'`. One copy of it loads one console. */
export interface BoytaceanLoader {
  initSync(options: { readonly module: BufferSource }): unknown;
  readonly GameBoy: new () => Console;
}

export interface BoytaceanOptions {
  readonly loader: BoytaceanLoader;
  /** The bytes of `boytacean_bg.wasm`. */
  readonly module: OwnedBytes;
  /** The cartridge. */
  readonly rom: Uint8Array;
  /**
   * `marks` when left out: the program is instrumented and marks the pages that it writes. `barrier`: it can be captured
   * while it runs, too. Nothing but the program writes to its memory once the cartridge is in.
   */
  readonly tracking?: 'none' | 'marks' | 'barrier';
  /** What the memory may come to, which is the size of its region. 16 MiB when left out. */
  readonly maxMemoryBytes?: number;
}

/**
 * Starts a Game Boy (DMG) with a cartridge, past its boot ROM, which is not in the package.
 *
 * Throws `argument-invalid` for no cartridge that it knows, `unsupported` when this copy of the loader has loaded a console
 * before, and what the loader throws.
 *
 * @example
 * const game = await openBoytacean({ loader, module, rom });
 * const rewind = await openRewind(await openTracker(game));
 * for (;;) { game.frame(); draw(game.picture); await rewind.epoch(); await nextFrame(); }
 */
export async function openBoytacean(options: BoytaceanOptions): Promise<BoytaceanGuest> {
  const { loader, module, rom, tracking = 'marks', maxMemoryBytes = DEFAULT_MAX_MEMORY_BYTES } = options;
  const { caught } = await catchInstance(async () => loader.initSync({ module }), {
    tracking,
    maxMemoryBytes,
  });
  const console = unowned(new loader.GameBoy());
  console.load_unsafe(false);
  insert(console, rom);
  console.load_boot_state();
  return new BoytaceanGuest(caught, { console, rom });
}

/**
 * The object, out of reach of the loader's finalizers: they would free it inside the program when JavaScript collects it,
 * at any time, at rest and after the end too, where calls are refused and nobody catches what they throw.
 */
function unowned<B extends Bound>(bound: B): B {
  // Safe: a prototype and an address are all there is of such an object.
  const twin = Object.create(Object.getPrototypeOf(bound)) as B;
  twin.__wbg_ptr = bound.__destroy_into_raw();
  return twin;
}

function insert(console: Console, rom: Uint8Array): void {
  try {
    unowned(console.load_rom_wa(rom));
  } catch (cause) {
    throw new VitrineError('argument-invalid', { name: 'rom', length: rom.length }, { cause });
  }
}

interface Parts {
  readonly console: Console;
  readonly rom: Uint8Array;
}

export class BoytaceanGuest extends WasmInstanceGuest {
  readonly #parts: Parts;
  readonly #face: Face;
  readonly #gate: CallGate;
  #held = 0;

  /** Use `openBoytacean`. */
  constructor(caught: CaughtInstance, parts: Parts) {
    const face = new Face();
    super(caught, {
      program: 'boytacean',
      kind: 'boytacean',
      // Where the program has put its cartridge depends on its size.
      config: { romDigest: digestOf(parts.rom), romBytes: parts.rom.length },
      hostState: face,
    });
    this.#parts = parts;
    this.#face = face;
    this.#gate = caught.gate;
  }

  /** The last picture, also right after a restore: rows of red, green, blue, see `PICTURE`. Not to be changed. */
  get picture(): OwnedBytes {
    return this.#face.picture;
  }

  /**
   * Runs one frame, 70,224 clocks, a sixtieth of the console's second. False while it is paused, and nothing is done then.
   *
   * Throws `guest-failed` when the program itself stops, `guest-closed`.
   */
  frame(): boolean {
    if (this.#gate.isShut) return false;
    const { console } = this.#parts;
    try {
      this.#tellKeys();
      console.next_frame();
      this.#face.picture = ownBytes(console.frame_buffer_eager());
      return true;
    } catch (cause) {
      if (cause instanceof VitrineError) throw cause;
      throw new VitrineError('guest-failed', { program: 'boytacean' }, { cause });
    }
  }

  /** Holds a key from the next frame on. A restore changes nothing of what a person holds. */
  press(key: PadKey): void {
    this.#held |= 1 << PAD[key];
  }

  /** Lets a key go. */
  lift(key: PadKey): void {
    this.#held &= ~(1 << PAD[key]);
  }

  /** Only what differs is told: a key that was down at the point gone back to and is down now was never let go. */
  #tellKeys(): void {
    const { console } = this.#parts;
    for (const key of Object.values(PAD)) {
      const bit = 1 << key;
      if ((this.#held & bit) === (this.#face.told & bit)) continue;
      if ((this.#held & bit) === 0) console.key_lift(key);
      else console.key_press(key);
    }
    this.#face.told = this.#held;
  }
}

/** What a person has of the console: its host state. */
class Face implements HostState {
  readonly version = HOST_VERSION;
  told = 0;
  picture: OwnedBytes = new Uint8Array(PICTURE_BYTES);

  save(): OwnedBytes {
    return concatBytes([Uint8Array.of(this.told), this.picture]);
  }

  load(bytes: OwnedBytes): void {
    if (bytes.length !== 1 + PICTURE_BYTES) {
      throw new VitrineError('guest-state-invalid', { record: 'host', field: 'length', value: bytes.length });
    }
    this.told = bytes[0]!;
    this.picture = bytes.slice(1);
  }
}

function digestOf(bytes: Uint8Array): string {
  const digest = new Uint8Array(32);
  blake3(bytes, digest);
  return toHex(digest);
}
