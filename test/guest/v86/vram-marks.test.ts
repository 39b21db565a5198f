// Which pages of linear video memory were written: a machine that leaves it alone need not have it compared, and no writer is missed.

import { afterEach, describe, expect, it, vi } from 'vitest';
import type { DirtyTake } from '../../../src/guest/guest.ts';
import type { V86Guest } from '../../../src/guest/v86/index.ts';
import { MARK_GLOBALS } from '../../../src/guest/v86/track-program.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { openScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { GRAPHICS_ROM, PIXEL } from '../../browser/pages/graphics-rom.ts';
import { adopted } from './adopted.ts';
import { openProgram, openPulse, paused, restore, runPulse, save, until, wordAt } from './machines.ts';
import { VIDEO_WRITER } from './video-writer.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const VRAM = 1;
const VRAM_BYTES = 1 << 20;
const PAGE_BYTES = 4096;
const FRAME_BUFFER = 0xe000_0000;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});
const keep = (guest: V86Guest): V86Guest => {
  closing.push(() => guest.close());
  return guest;
};

/** Pages of video memory: those told, and those that changed. */
interface Window {
  readonly told: readonly number[];
  readonly changed: readonly number[];
}

const ALL = Array.from({ length: VRAM_BYTES / PAGE_BYTES }, (_, page) => page);
const toldBy = (take: DirtyTake): number[] => [...take.pages[VRAM]!];

/** Lets `work` happen between two takes. No page that changed in between may be missing among those told. */
async function vramWindow(guest: V86Guest, work: () => unknown): Promise<Window> {
  const before = await paused(guest, () => {
    guest.takeDirty().commit();
    return guest.view(VRAM)!.slice();
  });
  await work();
  return paused(guest, () => {
    const take = guest.takeDirty();
    take.commit();
    const told = toldBy(take);
    const after = guest.view(VRAM)!;
    const pageOf = (bytes: Uint8Array, page: number) =>
      bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    const changed = ALL.filter((page) => Buffer.compare(pageOf(before, page), pageOf(after, page)) !== 0);
    expect(changed.filter((page) => !told.includes(page))).toEqual([]);
    return { told, changed };
  });
}

const poke = (guest: V86Guest, address: number, value: number) =>
  paused(guest, () =>
    guest.writePages(
      { region: 0, offsetBytes: address, lengthBytes: 4 },
      new Uint8Array(Uint32Array.of(value).buffer),
    ),
  );

async function rounds(guest: V86Guest, count = 3000): Promise<void> {
  const from = await wordAt(guest, VIDEO_WRITER.rounds);
  await until(async () => (await wordAt(guest, VIDEO_WRITER.rounds)) > from + count, 'rounds');
}

describe('linear video memory of a v86 guest', () => {
  it('counts as written at first, and not while nobody writes there', async () => {
    const guest = keep(await openPulse());
    await paused(guest, () => expect(toldBy(guest.takeDirty())).toEqual(ALL));
    for (let round = 0; round < 3; round++) {
      expect(await vramWindow(guest, () => runPulse(guest, 64))).toEqual({ told: [], changed: [] });
    }
  });

  const WAYS = [
    { compile: true, paging: false },
    { compile: true, paging: true },
    { compile: false, paging: false },
    { compile: false, paging: true },
  ];
  it.each(WAYS)('is known to be written by a program, compiled: $compile, paging: $paging', async (way) => {
    const guest = keep(
      await openProgram(VIDEO_WRITER.code, 0, { compile: way.compile, vgaMemoryBytes: VRAM_BYTES }),
    );
    await poke(guest, VIDEO_WRITER.paging, way.paging ? 1 : 0);
    await guest.start();
    await rounds(guest);
    // At a page's end, so that it writes into the next one too; mapped there is one page alone.
    const target = way.paging ? VIDEO_WRITER.mapped.address + 0x123 : FRAME_BUFFER + 0x3ffe;
    const pages = way.paging ? [7] : [3, 4];
    for (let round = 0; round < 3; round++) {
      expect(await vramWindow(guest, () => rounds(guest))).toEqual({ told: [], changed: [] });
      const written = await vramWindow(guest, async () => {
        await poke(guest, VIDEO_WRITER.target, target);
        await rounds(guest);
      });
      expect(written).toEqual({ told: pages, changed: pages });
      // Nothing else happens to the page tables: each epoch has to find out anew.
      expect(await vramWindow(guest, () => rounds(guest))).toEqual({ told: pages, changed: pages });
      await poke(guest, VIDEO_WRITER.target, 0);
      await rounds(guest);
    }
    const at = way.paging ? VIDEO_WRITER.mapped.offsetBytes + 0x123 : 0x3ffe;
    await paused(guest, () => expect(guest.view(VRAM)![at]).not.toBe(0));
  });

  it('is known to be written through the window of a banked mode', async () => {
    const guest = keep(await openProgram(GRAPHICS_ROM.subarray(0, 0x200), 0, { vgaMemoryBytes: VRAM_BYTES }));
    const drawn = await vramWindow(guest, async () => {
      await guest.start();
      await until(() => paused(guest, () => guest.view(VRAM)![PIXEL.at] === PIXEL.rgba[2]), 'a pixel');
    });
    expect(drawn.changed).toContain(Math.floor(PIXEL.at / PAGE_BYTES));
    expect(await vramWindow(guest, () => {})).toEqual({ told: [], changed: [] });
  });

  it('counts as written when a mode is set, which clears it', async () => {
    const { guest, emulator } = await adopted();
    keep(guest);
    const { io } = emulator.v86.cpu as unknown as {
      io: { port_write16(port: number, value: number): void };
    };
    const setMode = (mode: number): void => {
      io.port_write16(0x1ce, 4);
      io.port_write16(0x1cf, mode);
    };
    await paused(guest, () =>
      guest.writePages({ region: VRAM, offsetBytes: 0x6_0000, lengthBytes: 1 }, Uint8Array.of(1)),
    );
    const set = await vramWindow(guest, () => {
      setMode(0x41);
      setMode(0);
    });
    expect(set.told).toEqual(ALL);
    expect(set.changed).toContain(0x60);
    expect(await vramWindow(guest, () => setMode(0))).toEqual({ told: [], changed: [] });
  });

  it('is put back, once, with what was written meanwhile', async () => {
    const { guest } = await adopted();
    keep(guest);
    const write = (offsetBytes: number) =>
      guest.writePages({ region: VRAM, offsetBytes, lengthBytes: 2 }, Uint8Array.of(1, 2));
    await paused(guest, () => {
      guest.takeDirty().commit();
      write(0x1fff);
      const lost = guest.takeDirty();
      expect(toldBy(lost)).toEqual([1, 2]);
      write(0x7000);
      lost.putBack();
      lost.putBack();
      const take = guest.takeDirty();
      expect(toldBy(take)).toEqual([1, 2, 7]);
      take.commit();
      take.putBack();
      expect(toldBy(guest.takeDirty())).toEqual([]);
    });
  });

  it.each(['write8', 'write16', 'write32'])('is known to be written by devices, by %s', async (name) => {
    const { guest, emulator } = await adopted();
    keep(guest);
    const cpu = emulator.v86.cpu as unknown as Record<string, (address: number, value: number) => void>;
    const written = await vramWindow(guest, () => cpu[name]!((FRAME_BUFFER + 0x5_0123) | 0, 0x5a));
    expect(written).toEqual({ told: [0x50], changed: [0x50] });
    const across = await vramWindow(guest, () => cpu[name]!((FRAME_BUFFER + 0x5_0fff) | 0, 0x0101_0107));
    expect(across.changed.length).toBeGreaterThan(0);
    // Past its end, and in RAM.
    const elsewhere = await vramWindow(guest, () => {
      cpu[name]!((FRAME_BUFFER + VRAM_BYTES) | 0, 0x5a);
      cpu[name]!(0x2000, 0x5a);
    });
    expect(elsewhere).toEqual({ told: [], changed: [] });
  });

  it("counts as written after a write by the port and v86's own restore, and not after a restore of devices", async () => {
    // With a hard disk: without one v86's own restore throws.
    const { guest, emulator } = await adopted({ hda: { buffer: new ArrayBuffer(65_536) } });
    keep(guest);
    const stock = emulator as unknown as {
      save_state(): Promise<ArrayBuffer>;
      restore_state(state: ArrayBuffer): Promise<void>;
    };
    const state = await stock.save_state();
    const put = await vramWindow(guest, () =>
      paused(guest, () =>
        guest.writePages({ region: VRAM, offsetBytes: 0x5077, lengthBytes: 1 }, Uint8Array.of(9)),
      ),
    );
    expect(put).toEqual({ told: [5], changed: [5] });
    expect(await vramWindow(guest, () => stock.restore_state(state))).toEqual({ told: ALL, changed: [5] });
    const saved = await save(guest);
    // What is in memory already is not written again.
    expect((await vramWindow(guest, () => restore(guest, saved))).told).toEqual([]);
  });

  it('is not looked at by a tracker once the marks are proven, and is when it was drawn on', async () => {
    const guest = keep(await openProgram(VIDEO_WRITER.code, 0, { vgaMemoryBytes: VRAM_BYTES }));
    await guest.start();
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    const scanned: number[] = [];
    for (let capture = 0; capture < 6; capture++) {
      await rounds(guest);
      scanned.push((await tracker.capture({ full: false })).pagesScanned);
      await tracker.commit();
    }
    expect(scanned.at(-1)).toBeLessThan(16);
    await poke(guest, VIDEO_WRITER.target, FRAME_BUFFER + 0x1000);
    await rounds(guest);
    for (const live of [undefined, { bufferBytes: 1 << 20 }]) {
      const { changed, pagesScanned } = await tracker.capture({ full: false, ...(live && { live }) });
      expect(pagesScanned).toBeLessThan(16);
      expect(changed[VRAM]![0]).toBe(0b10);
      await tracker.commit();
      await rounds(guest);
    }
  });

  it('is let go of by an emulator that outlives its guest', async () => {
    const { guest, emulator } = await adopted();
    keep(guest);
    const { cpu } = emulator.v86;
    const overridden = cpu.set_state;
    await guest.close();
    expect(cpu.set_state).not.toBe(overridden);
    expect(Object.getPrototypeOf(cpu).set_state).toBe(cpu.set_state);
    expect((cpu.wm.exports[MARK_GLOBALS.vramPages] as WebAssembly.Global).value).toBe(0);
  });
});
