// Pages that a guest says it uses no more, and what a save makes of it when that is true, late, a lie, or no longer so: for an
// emulator whose author helps, and for a WebAssembly program that marks what it writes.

import { afterEach, describe, expect, it } from 'vitest';
import { cooperatingGuest } from '../../src/guest/cooperating.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { instantiateCaught, WasmInstanceGuest } from '../../src/guest/wasm/index.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { Random } from '../../src/testing/random.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { pages, picture } from '../support/pages.ts';
import { seedOfRun } from '../support/seed.ts';
import { wat } from '../support/wat.ts';

const PAGE = 256;
const PAGES = 256;

/** A guest with one byte array of memory, and what it does and says. */
interface Hinting {
  readonly guest: Guest;
  readonly tracker: ScanTracker;
  /** Fills pages with a letter, as the guest's program does. */
  write(page: number, letter: string): void;
  free(page: number, count?: number): void;
  hintFree(address: number, lengthBytes: number): void;
}

const trackers: ScanTracker[] = [];
afterEach(async () => {
  for (const tracker of trackers.splice(0)) await tracker.close();
});

async function track(guest: Guest): Promise<ScanTracker> {
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  trackers.push(tracker);
  return tracker;
}

/** `beforeWrite` after `tracking`: what tells of the writes. */
async function openCooperating(tracking: 'none' | 'marks' | 'barrier'): Promise<Hinting> {
  const ram = new Uint8Array(PAGES * PAGE);
  const { guest, beforeWrite, hintFree } = cooperatingGuest({
    machine: { kind: 'hinting', version: '1', architecture: 'none', config: {} },
    regions: [{ name: 'ram', bytes: ram, guestAddress: 0x1_0000, pageBytes: PAGE }],
    devices: {},
    tracking,
  });
  const tracker = await track(guest);
  return {
    guest,
    tracker,
    write(page, letter) {
      beforeWrite(0x1_0000 + page * PAGE, PAGE);
      ram.set(pages(letter), page * PAGE);
    },
    free: (page, count = 1) => hintFree(0x1_0000 + page * PAGE, count * PAGE),
    hintFree: (address, lengthBytes) => hintFree(0x1_0000 + address, lengthBytes),
  };
}

const PROGRAM = `(module
  (import "host" "hint" (func $hint (param i32 i32)))
  (memory (export "memory") 1)
  (func $write (export "write") (param $at i32) (param $byte i32)
    (memory.fill (local.get $at) (local.get $byte) (i32.const ${PAGE})))
  (func (export "free") (param $at i32) (param $length i32) (call $hint (local.get $at) (local.get $length)))
  ;; Stores of one page around a hint: the second needs no mark of its own.
  (func (export "around") (param $at i32)
    (i32.store (local.get $at) (i32.const 0x61616161))
    (call $hint (local.get $at) (i32.const ${PAGE}))
    (i32.store (local.get $at) (i32.const 0x62626262)))
  (func (export "behind") (param $at i32)
    (call $hint (local.get $at) (i32.const ${PAGE}))
    (call $write (local.get $at) (i32.const 0x62))))`;

interface Exports {
  write(at: number, byte: number): void;
  free(at: number, lengthBytes: number): void;
  around(at: number): void;
  behind(at: number): void;
}

async function openProgram(tracking: 'marks' | 'barrier'): Promise<Hinting & { readonly exports: Exports }> {
  let guest: WasmInstanceGuest;
  const hint = (at: number, lengthBytes: number) => guest.hintFree(at >>> 0, lengthBytes >>> 0);
  const made = await instantiateCaught(
    wat(PROGRAM),
    { host: { hint } },
    { tracking, maxMemoryBytes: 65_536, pageBytes: PAGE },
  );
  // Safe: the module exports just these.
  const exports = made.exports as unknown as Exports;
  guest = new WasmInstanceGuest(made.caught, { program: 'hinting', pageBytes: PAGE });
  const tracker = await track(guest);
  return {
    guest,
    tracker,
    exports,
    write: (page, letter) => exports.write(page * PAGE, letter === '.' ? 0 : letter.charCodeAt(0)),
    free: (page, count = 1) => guest.hintFree(page * PAGE, count * PAGE),
    hintFree: (address, lengthBytes) => guest.hintFree(address, lengthBytes),
  };
}

/** Saves, and says which of the first eight pages are told as changed and what the save holds of them. */
async function save({ tracker }: Hinting, full = false): Promise<string> {
  const { changed } = await tracker.capture({ full, skipFree: true });
  const list = [...new PageSet(PAGES, changed[0]!)].filter((page) => page < 8);
  const { bytes } = await tracker.readPages(0, Uint32Array.from(list));
  await tracker.commit();
  return list.map((page, i) => `${page}${picture(bytes.subarray(i * PAGE, (i + 1) * PAGE))}`).join(' ');
}

/** What the guest itself holds in its first eight pages. */
async function live({ guest }: Hinting): Promise<string> {
  await guest.pause();
  const bytes = new Uint8Array(8 * PAGE);
  await guest.readPages({ region: 0, offsetBytes: 0, lengthBytes: bytes.length }, bytes);
  await guest.resume();
  return picture(bytes);
}

const GUESTS: readonly (readonly [name: string, open: () => Promise<Hinting>])[] = [
  ['an emulator with marks', () => openCooperating('marks')],
  ['an emulator with a barrier', () => openCooperating('barrier')],
  ['a program with marks', () => openProgram('marks')],
  ['a program with a barrier', () => openProgram('barrier')],
];

describe.each(GUESTS)('%s', (_, open) => {
  /** Saved once as `abcd....`. */
  async function saved(): Promise<Hinting> {
    const hinting = await open();
    for (const [page, letter] of [...'abcd'].entries()) hinting.write(page, letter);
    expect(await save(hinting)).toBe('0a 1b 2c 3d');
    return hinting;
  }

  it('leaves out what it wrote and then said is free, and goes on with its own memory', async () => {
    const hinting = await saved();
    hinting.write(1, 'x');
    hinting.write(2, 'y');
    hinting.free(1);
    expect(await save(hinting)).toBe('1. 2y');
    expect(await save(hinting, true)).toBe('0a 2y 3d');
    expect(await live(hinting)).toBe('axyd....');
  });

  it('keeps what it wrote after the hint, before the save and between later ones, with the same bytes too', async () => {
    const hinting = await saved();
    hinting.write(1, 'x');
    hinting.free(1);
    hinting.write(1, 'x');
    expect(await save(hinting)).toBe('1x');
    hinting.free(1);
    expect(await save(hinting)).toBe('');
    expect(await save(hinting, true)).toBe('0a 2c 3d');
    hinting.write(1, 'x');
    expect(await save(hinting, true)).toBe('0a 1x 2c 3d');
  });

  it('is believed at the next save when it says so late, after the instant of one', async () => {
    const hinting = await saved();
    const { tracker } = hinting;
    hinting.write(1, 'x');
    await tracker.capture({ full: false, skipFree: true });
    hinting.free(1);
    const { bytes } = await tracker.readPages(0, Uint32Array.of(1));
    expect(picture(bytes)).toBe('x');
    await tracker.commit();
    expect(await save(hinting, true)).toBe('0a 2c 3d');
  });

  it('loses only what it lied about, in the snapshot alone', async () => {
    const hinting = await saved();
    hinting.write(3, 'z');
    // It is in use.
    hinting.free(3);
    expect(await save(hinting)).toBe('3.');
    expect(await live(hinting)).toBe('abcz....');
  });

  it.each([
    ['past the end', 1e15, 1e15, '0a 1b 2c 3d'],
    ['before the start', -9 * PAGE, 9 * PAGE, '0a 1b 2c 3d'],
    ['of no number', Number.NaN, Number.NaN, '0a 1b 2c 3d'],
    ['of negative length', 0, -PAGE, '0a 1b 2c 3d'],
    ['of parts of pages', 1, 2 * PAGE, '0a 2c 3d'],
    ['from before the start', -PAGE, 2 * PAGE, '1b 2c 3d'],
    ['without end', 2 * PAGE, Number.POSITIVE_INFINITY, '0a 1b'],
  ])('does no harm with a hint %s', async (_name, address, lengthBytes, expected) => {
    const hinting = await saved();
    hinting.hintFree(address, lengthBytes);
    await save(hinting);
    expect(await save(hinting, true)).toBe(expected);
  });

  it('has said nothing when it is brought to an instant at which the page was in use', async () => {
    const hinting = await saved();
    await hinting.tracker.checkpoint();
    hinting.free(0, 4);
    hinting.tracker.resetNow();
    expect(await save(hinting, true)).toBe('0a 1b 2c 3d');
    expect(await save(hinting, true)).toBe('0a 1b 2c 3d');
  });

  it('forgets no page when a save fails', async () => {
    const hinting = await saved();
    hinting.write(1, 'x');
    hinting.write(2, 'y');
    hinting.free(1);
    await hinting.tracker.capture({ full: false, skipFree: true });
    await hinting.tracker.putBack();
    expect(await save(hinting)).toBe('1. 2y');
  });

  it('costs no question before it has ever hinted', async () => {
    const hinting = await saved();
    expect(hinting.guest.freePageHint).toBeUndefined();
    hinting.free(1);
    expect(hinting.guest.freePageHint).toBeDefined();
  });

  it('is right in any order of writes, hints, saves and resets', async () => {
    const seed = seedOfRun();
    const random = new Random(seed);
    const hinting = await open();
    const memory = [...'........'];
    /** Free since the last write, as the model has it. */
    const free = new Set<number>();
    let point = [...memory];
    await hinting.tracker.checkpoint();
    for (let step = 0; step < 400; step++) {
      const page = random.below(8);
      const kind = random.below(16);
      if (kind < 8) {
        memory[page] = random.pick([...'abc']);
        hinting.write(page, memory[page]!);
        free.delete(page);
      } else if (kind < 12) {
        hinting.free(page);
        free.add(page);
      } else if (kind < 15) {
        const held = await save(hinting, true);
        for (const [at, letter] of memory.entries()) {
          // What it uses is always there; what it does not use may be, where it could not be believed.
          const text = `SEED=${seed}, step ${step}, page ${at} of ${memory.join('')} in ${held}`;
          if (!free.has(at) && letter !== '.') expect(held, text).toContain(`${at}${letter}`);
          else expect(held, text).not.toMatch(new RegExp(`${at}[^.${letter}]`));
        }
        if (random.below(2) === 0) {
          await hinting.tracker.checkpoint();
          point = [...memory];
        }
      } else {
        hinting.tracker.resetNow();
        memory.splice(0, 8, ...point);
        free.clear();
      }
    }
    expect(await live(hinting)).toBe(memory.join(''));
  });
});

describe.each(['marks', 'barrier'] as const)('a program with %s that hints inside a call', (tracking) => {
  it('is not believed for a page that the call had written, since it may go on', async () => {
    const hinting = await openProgram(tracking);
    await save(hinting);
    hinting.exports.around(PAGE);
    await save(hinting);
    expect(await save(hinting, true)).toMatch(/^1/);
  });

  it('is not believed for a page that the call writes later', async () => {
    const hinting = await openProgram(tracking);
    await save(hinting);
    hinting.exports.behind(PAGE);
    expect(await save(hinting)).toBe('1b');
    expect(await save(hinting, true)).toBe('1b');
  });

  it('is believed for a page that was written before the last save', async () => {
    const hinting = await openProgram(tracking);
    hinting.write(1, 'a');
    hinting.write(2, 'b');
    await save(hinting);
    hinting.exports.free(PAGE, PAGE);
    expect(await save(hinting, true)).toBe('2b');
  });
});

describe('an emulator that does not say what it writes', () => {
  it('is not asked', async () => {
    const hinting = await openCooperating('none');
    hinting.write(1, 'a');
    hinting.free(1);
    expect(hinting.guest.freePageHint).toBeUndefined();
    expect(await save(hinting)).toBe('1a');
  });
});
