// Marks of a v86 guest: every page that changed is marked, whoever wrote it; and what happens without them. The oracle is
// a full compare of RAM.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { adoptV86, trackedWasmFn, type V86Guest } from '../../../src/guest/v86/index.ts';
import { MARK_GLOBALS } from '../../../src/guest/v86/track-program.ts';
import type { V86Emulator } from '../../../src/guest/v86/v86-internals.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { openScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { adopted } from './adopted.ts';
import {
  difference,
  openProgram,
  openPulse,
  paused,
  poke,
  restore,
  runPulse,
  save,
  until,
  untilUp,
  v86Bytes,
  wordAt,
} from './machines.ts';
import { marksWindow } from './marks-window.ts';
import { PAGING } from './paging.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});
function keep<Guest extends V86Guest>(guest: Guest): Guest {
  closing.push(() => guest.close());
  return guest;
}

/** Writers that a device or an embedder has, beside the processor: the emulator's own, before it is typed here. */
interface Writers {
  write_blob(bytes: Uint8Array, address: number): void;
  write8(address: number, value: number): void;
  write16(address: number, value: number): void;
  write32(address: number, value: number): void;
  reboot_internal(): void;
}

async function adoptWriters(change: object = {}) {
  const { guest, emulator } = await adopted(change);
  keep(guest);
  return { guest, emulator, cpu: emulator.v86.cpu, write: emulator.v86.cpu as unknown as Writers };
}

describe('marks of a v86 guest', () => {
  it('are there by default, all pages at first', async () => {
    const guest = keep(await openPulse());
    expect(guest.traits).toMatchObject({ tracking: 'barrier', auditScans: 3, sharedMemory: false });
    await paused(guest, () => {
      const [ram, vram] = guest.takeDirty().pages;
      expect(ram?.size).toBe((4 << 20) / 4096);
      expect(vram?.size).toBe((1 << 20) / 4096);
    });
  });

  it.each([true, false])('hold what a program in real mode wrote, compiled: %s', async (compile) => {
    const guest = keep(await openPulse({ compile }));
    const boot = await marksWindow(guest, async () => {
      await guest.start();
      await untilUp(guest);
    });
    expect(boot.changed.length).toBeGreaterThan(3);
    expect(boot.missed).toEqual([]);
    for (let round = 0; round < 4; round++) {
      const { changed, marked, missed } = await marksWindow(guest, () => runPulse(guest, 64));
      expect(changed.length).toBeGreaterThan(60);
      expect(missed).toEqual([]);
      expect(marked.length).toBeLessThan(2 * changed.length + 16);
    }
    const idle = await marksWindow(guest, () => undefined);
    expect(idle.marked).toEqual([]);
  });

  it.each([true, false])('hold what a paging program wrote, compiled: %s', async (compile) => {
    const guest = keep(await openProgram(PAGING, 0, { compile }));
    await guest.start();
    await until(async () => (await wordAt(guest, 0x900)) > 20_000, 'rounds');
    for (let round = 0; round < 4; round++) {
      const { changed, missed } = await marksWindow(guest, async () => {
        const from = await wordAt(guest, 0x900);
        await until(async () => (await wordAt(guest, 0x900)) > from + 20_000, 'more rounds');
      });
      // Seventeen pages in the high half, the counter's, and the page table's accessed and dirty bits.
      for (let page = 0x4f; page <= 0x5f; page++) expect(changed).toContain(page);
      expect(changed).toContain(0);
      expect(missed).toEqual([]);
    }
  });

  it('hold what devices wrote, by the calls that all of them use', async () => {
    const { guest, write } = await adoptWriters();
    const cases: Record<string, [(value: number) => void, number[]]> = {
      write_blob: [
        (value) => write.write_blob(new Uint8Array(5000).fill(value), 0x20_0ffe),
        [0x200, 0x201, 0x202],
      ],
      write8: [(value) => write.write8(0x21_0123, value), [0x210]],
      write16: [(value) => write.write16(0x22_0fff, value * 257), [0x220, 0x221]],
      write32: [(value) => write.write32(0x23_0ffe, value * 0x0101_0101), [0x230, 0x231]],
    };
    for (const [name, [call, pages]] of Object.entries(cases)) {
      for (const value of [0x5a, 0xa5]) {
        const seen = await marksWindow(guest, () => call(value));
        expect([name, seen.changed, seen.missed]).toEqual([name, pages, []]);
      }
    }
  });

  it('hold what the DMA controller and a drive wrote', async () => {
    const { guest, emulator } = await adoptWriters({
      fda: { buffer: Uint8Array.from({ length: 1_474_560 }, (_, at) => (at * 7) & 0xff).buffer },
    });
    const dma = emulator.v86.cpu.devices.dma as unknown as {
      do_read(
        disk: unknown,
        start: number,
        length: number,
        channel: number,
        done: (failed: boolean) => void,
      ): void;
      channel_addr: Uint16Array;
      channel_page: Uint8Array;
      channel_count: Uint16Array;
    };
    const disk = emulator.v86.cpu.devices.fdc?.drives[0]?.buffer;
    const seen = await marksWindow(guest, async () => {
      dma.channel_page[2] = 0x03;
      dma.channel_addr[2] = 0x0800;
      dma.channel_count[2] = 8191;
      const failed = await new Promise<boolean>((done) => dma.do_read(disk, 512, 8192, 2, done));
      expect(failed).toBe(false);
    });
    expect(seen.changed).toEqual([0x30, 0x31, 0x32]);
    expect(seen.missed).toEqual([]);
  });

  it('hold what the balloon gave back', async () => {
    const { guest, cpu, write } = await adoptWriters();
    write.write_blob(new Uint8Array(12_288).fill(7), 0x20_0000);
    // `virtio_balloon.js` zeroes the pages that the guest reports as free by this call.
    const seen = await marksWindow(guest, () => cpu.zero_memory(0x20_0000, 12_288));
    expect(seen.changed).toEqual([0x200, 0x201, 0x202]);
    expect(seen.missed).toEqual([]);
  });

  it('hold what was written through the copy of the BIOS below 4 GiB, before and after a reboot', async () => {
    const { guest, write } = await adoptWriters();
    for (const value of [0x5a, 0xa5]) {
      const seen = await marksWindow(guest, () => {
        write.write8(0xfff3_0001, value);
        write.write32(0xfff4_0ffe, value * 0x0101_0101);
      });
      expect(seen.changed).toEqual([0x30, 0x40, 0x41]);
      expect(seen.missed).toEqual([]);
      write.reboot_internal();
    }
  });

  it("hold what v86's own restore and reset wrote", async () => {
    // With a hard disk: without one v86's own restore throws.
    const { guest, emulator, write } = await adoptWriters({ hda: { buffer: new ArrayBuffer(65_536) } });
    const stock = emulator as unknown as {
      save_state(): Promise<ArrayBuffer>;
      restore_state(s: ArrayBuffer): Promise<void>;
    };
    await guest.start();
    await untilUp(guest);
    await guest.stop();
    const state = await stock.save_state();
    await runPulse(guest, 256);
    const restored = await marksWindow(guest, () => stock.restore_state(state));
    expect(restored.changed.length).toBeGreaterThan(100);
    expect(restored.missed).toEqual([]);
    const reset = await marksWindow(guest, () => {
      emulator.v86.cpu.reset_memory();
      write.reboot_internal();
    });
    expect(reset.changed.length).toBeGreaterThan(3);
    expect(reset.missed).toEqual([]);
  });

  it('hold what a restore by the port wrote, and go on to be right after it', async () => {
    const guest = keep(await openPulse());
    await runPulse(guest, 64);
    const saved = await save(guest);
    for (let round = 0; round < 3; round++) {
      await runPulse(guest, 128);
      const back = await marksWindow(guest, () => restore(guest, saved));
      expect(back.changed.length).toBeGreaterThan(30);
      expect(back.missed).toEqual([]);
      // No page that stayed as it was is marked by the devices' load.
      expect(back.marked.length).toBeLessThan(back.changed.length + 16);
      expect(difference(saved, await save(guest))).toBe('none');
      const on = await marksWindow(guest, () => runPulse(guest, 64));
      expect(on.changed.length).toBeGreaterThan(30);
      expect(on.missed).toEqual([]);
    }
  });

  it('stay inside the map when a guest names pages that are not there', async () => {
    const { guest, cpu } = await adoptWriters();
    const map = (cpu.wm.exports[MARK_GLOBALS.mapAddress] as WebAssembly.Global).value as number;
    const beyond = [0x400, 0x1_0000, 0x7_ffff, 0xf_fffe];
    const bytes = () => beyond.map((page) => new Uint8Array(cpu.wasm_memory.buffer)[map + page]);
    const before = bytes();
    expect(before).toContain(0);
    const seen = await marksWindow(guest, () => {
      for (const page of beyond) cpu.jit_dirty_cache(page * 4096, page * 4096 + 4096);
    });
    expect(bytes()).toEqual(before);
    expect(seen.marked).toEqual([]);
  });

  it('are put back, once, with what was written meanwhile', async () => {
    const guest = keep(await openPulse());
    await paused(guest, () => guest.takeDirty().commit());
    await poke(guest, 0x20_0000, [1]);
    const lost = await paused(guest, () => guest.takeDirty());
    await poke(guest, 0x21_0000, [2]);
    lost.putBack();
    lost.putBack();
    await paused(guest, () => {
      const take = guest.takeDirty();
      expect([...take.pages[0]!]).toEqual([0x200, 0x210]);
      take.commit();
      take.putBack();
      lost.putBack();
      expect(guest.takeDirty().pages[0]!.isEmpty).toBe(true);
    });
  });

  it('are taken off an emulator that outlives its guest, and may be put on again', async () => {
    const { emulator: other, guest: first } = await keptEmulator();
    const functions = { ...other.v86.cpu } as Record<string, unknown>;
    await first.close();
    for (const name of ['reset_memory', 'zero_memory', 'load_bios']) {
      expect((other.v86.cpu as unknown as Record<string, unknown>)[name]).not.toBe(functions[name]);
    }
    const again = keep(adoptV86(other, { ownsEmulator: false }));
    expect(again.traits.tracking).toBe('barrier');
    const seen = await marksWindow(again, () => (other.v86.cpu as unknown as Writers).write8(0x21_0000, 9));
    expect(seen).toEqual({ changed: [0x210], marked: [0x210], missed: [] });
    // A second guest at the same time would clear the map of the first one.
    const beside = adoptV86(other, { ownsEmulator: false });
    expect(beside.traits.tracking).toBe('none');
    await beside.close();
  });
});

describe('a tracker of a v86 guest', () => {
  it('looks at all pages until the marks are proven, then at the marked ones', async () => {
    const guest = keep(await openPulse());
    await runPulse(guest, 64);
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    const scanned: number[] = [];
    for (let save = 0; save < 6; save++) {
      const before = scanned.length === 0 ? undefined : await runPulse(guest, 64);
      expect(before).not.toBe(0);
      const { pagesScanned, changed } = await tracker.capture({ full: false });
      expect(changed[0]!.some((word) => word !== 0)).toBe(true);
      await tracker.commit();
      scanned.push(pagesScanned);
    }
    const all = guest.regions.reduce((pages, region) => pages + region.sizeBytes / 4096, 0);
    expect(scanned.filter((pages) => pages === all).length).toBeGreaterThanOrEqual(3);
    expect(scanned.at(-1)).toBeLessThan(300);
    expect(await tracker.describe()).toMatchObject({ tier: 'barrier' });
  });

  it('finds a missed mark out, saves the page all the same, and scans from then on', async () => {
    const { guest, emulator } = await adoptWriters();
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    await tracker.capture({ full: false });
    await tracker.commit();
    const { cpu } = emulator.v86;
    for (let round = 1; round < 4; round++) {
      // Behind everybody's back, as an unknown writer of another build would.
      new Uint8Array(cpu.wasm_memory.buffer, cpu.mem8.byteOffset)[0x20_0000] = round;
      const { changed } = await tracker.capture({ full: false });
      expect(changed[0]![0x200 >> 5]! & 1).toBe(1);
      await tracker.commit();
      const described = await tracker.describe();
      expect(described.tier).toBe('scan');
      expect(described.tierReason).toContain('page 512 of region 0');
    }
  });
});

/** An emulator that an embedder built and keeps. */
async function keptEmulator(): Promise<{ emulator: V86Emulator; guest: V86Guest }> {
  const { V86 } = await import('v86');
  const emulator = new V86({
    wasm_fn: trackedWasmFn(v86Bytes()),
    bios: { buffer: new ArrayBuffer(65_536) },
    memory_size: 4 << 20,
    vga_memory_size: 1 << 20,
    net_device: { type: 'none' },
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
  } as never) as unknown as V86Emulator;
  closing.unshift(() => emulator.destroy());
  await new Promise<void>((resolve) => emulator.add_listener('emulator-ready', () => resolve()));
  return { emulator, guest: adoptV86(emulator, { ownsEmulator: false }) };
}
