// Live captures of a v86 guest: RAM, disks and devices are those of the moment of the pause, bit for bit, however hard the
// machine writes and whoever writes in it. The truth is a copy made in the pause.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { SYSTEM_CLOCK } from '../../../src/base/clock.ts';
import type { Barrier } from '../../../src/guest/barrier.ts';
import type { V86Guest } from '../../../src/guest/v86/index.ts';
import { RamBarrier } from '../../../src/guest/v86/ram-barrier.ts';
import type { V86Emulator } from '../../../src/guest/v86/v86-internals.ts';
import { WriteMarks } from '../../../src/guest/v86/write-marks.ts';
import { HARD_WRITER, hardWriter } from '../../../src/host/qemu/hard-writer.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { PageSet } from '../../../src/memory/page-set.ts';
import { pageCountOf } from '../../../src/memory/region.ts';
import { openScanTracker, type ScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { expectSame } from '../../support/same.ts';
import { adopted } from './adopted.ts';
import { openProgram, openPulse, paused, runPulse, until, untilUp, wordAt } from './machines.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const PAGE_BYTES = 4096;
const MIB = 1 << 20;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Keeps a copy of all regions whenever devices are saved: in a capture, at the moment it is of. */
function witness(guest: V86Guest): { truth: Uint8Array[] } {
  const seen = { truth: [] as Uint8Array[] };
  const saveDevices = guest.saveDevices.bind(guest);
  guest.saveDevices = () => {
    seen.truth = guest.regions.map(({ id }) => guest.view(id)!.slice());
    return saveDevices();
  };
  closing.push(() => guest.close());
  return seen;
}

const openTracker = (guest: V86Guest) => openScanTracker(guest, { openKernels: () => loadKernels() });

async function expectTruth(
  tracker: ScanTracker,
  guest: V86Guest,
  truth: readonly Uint8Array[],
): Promise<void> {
  for (const region of guest.regions) {
    const pages = Uint32Array.from({ length: pageCountOf(region) }, (_, page) => page);
    const { bytes } = await tracker.readPages(region.id, pages);
    expectSame(bytes.subarray(0, region.sizeBytes), truth[region.id]!);
  }
}

describe('a live capture of v86', () => {
  it.each([
    ['no ring', 0, true],
    ['a small ring', 16 * PAGE_BYTES, true],
    ['a ring for all', 8 * MIB, true],
    ['a small ring, interpreted', 16 * PAGE_BYTES, false],
  ])(
    'is of one instant while the machine writes all its memory, with %s',
    async (_, bufferBytes, compile) => {
      const memoryBytes = 8 * MIB;
      const guest = await openProgram(hardWriter(memoryBytes), 0, { memoryBytes, compile });
      const seen = witness(guest);
      const tracker = await openTracker(guest);
      await guest.start();
      await until(async () => (await wordAt(guest, HARD_WRITER.rounds)) > 1, 'rounds');
      let before: readonly Uint8Array[] = [];
      for (let round = 0; round < 3; round++) {
        const instant = await tracker.capture({ full: false, live: { bufferBytes } });
        expect(instant.live).toMatchObject({ mode: 'barrier', ringBytes: bufferBytes });
        await expectTruth(tracker, guest, seen.truth);
        const { pagesCopiedAside, spilled, peakRingBytes } = instant.live!;
        expect(pagesCopiedAside).toBeGreaterThan(0);
        expect(peakRingBytes).toBeLessThanOrEqual(bufferBytes);
        if (bufferBytes === 0) expect(spilled).toBe(pagesCopiedAside);
        if (bufferBytes === 8 * MIB) expect(spilled).toBe(0);
        const told = new PageSet(memoryBytes / PAGE_BYTES, instant.changed[0]!);
        for (let page = 0; before.length > 0 && page < told.pageCount; page++) {
          const [now, then] = [seen.truth, before].map((of) =>
            of[0]!.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES),
          );
          if (Buffer.compare(now!, then!) !== 0) expect(told.has(page)).toBe(true);
        }
        before = seen.truth;
        await tracker.commit();
        const from = await wordAt(guest, HARD_WRITER.rounds);
        await until(async () => (await wordAt(guest, HARD_WRITER.rounds)) > from, 'another round');
      }
    },
  );

  it('leaves the machine as it was: it goes on to be right, and a stopped capture finds the rest', async () => {
    const guest = await openPulse();
    const seen = witness(guest);
    const tracker = await openTracker(guest);
    await guest.start();
    await untilUp(guest);
    for (let round = 0; round < 6; round++) {
      await tracker.capture({ full: round === 3, live: { bufferBytes: 4 * PAGE_BYTES } });
      await expectTruth(tracker, guest, seen.truth);
      await (round % 2 === 0 ? tracker.commit() : tracker.putBack());
    }
    await tracker.capture({ full: false });
    await expectTruth(tracker, guest, seen.truth);
    await tracker.commit();
    await guest.stop();
    // Pulse says MEMORY OK when the sums of its pages are as it remembers them.
    await runPulse(guest, 512);
    expect(await wordAt(guest, 0x1024)).toBe(1);
  });

  it('that is given up, and one whose guest is closed, end with a code', async () => {
    const memoryBytes = 8 * MIB;
    const guest = await openProgram(hardWriter(memoryBytes), 0, { memoryBytes });
    const seen = witness(guest);
    const tracker = await openTracker(guest);
    await guest.start();
    await tracker.capture({ full: false, live: {} });
    await tracker.commit();
    const original = guest.openBarrier.bind(guest);
    /** Does something as soon as the saver reads for the first time. */
    const onFirstRead = (act: () => void) => {
      guest.openBarrier = (options) => {
        const barrier = original(options);
        const view = barrier.view.bind(barrier);
        let isFirst = true;
        barrier.view = (region) => {
          if (isFirst) act();
          isFirst = false;
          return view(region);
        };
        return barrier;
      };
    };
    onFirstRead(() => void tracker.cancelCapture());
    const from = await wordAt(guest, HARD_WRITER.rounds);
    await until(async () => (await wordAt(guest, HARD_WRITER.rounds)) > from + 1, 'all pages to be written');
    await expect(tracker.capture({ full: false, live: {} })).rejects.toMatchObject({ code: 'aborted' });
    onFirstRead(() => {});
    await tracker.capture({ full: false, live: {} });
    await expectTruth(tracker, guest, seen.truth);
    await tracker.commit();
    const later = await wordAt(guest, HARD_WRITER.rounds);
    await until(async () => (await wordAt(guest, HARD_WRITER.rounds)) > later + 1, 'all pages to be written');
    onFirstRead(() => void tracker.close());
    await expect(tracker.capture({ full: false, live: {} })).rejects.toMatchObject({ code: 'guest-closed' });
  });
});

describe('an armed barrier of v86', () => {
  /** Reads everything after `act`, and compares with what was there before. */
  async function expectKept(guest: V86Guest, act: () => unknown): Promise<number> {
    const barrier: Barrier = guest.openBarrier({ ringBytes: 2 * PAGE_BYTES, clock: SYSTEM_CLOCK });
    const memory = guest.regions.map(({ sizeBytes }) => new Uint8Array(sizeBytes));
    const take = (region: number, page: number, bytes: Uint8Array) =>
      memory[region]!.set(
        bytes.subarray(0, guest.regions[region]!.sizeBytes - page * PAGE_BYTES),
        page * PAGE_BYTES,
      );
    const truth = await paused(guest, () => {
      barrier.arm(
        guest.regions.map((region) => PageSet.all(pageCountOf(region))),
        take,
      );
      return guest.regions.map(({ id }) => guest.view(id)!.slice());
    });
    await act();
    while (barrier.drain(1) > 0);
    for (const region of guest.regions.filter(({ id }) => barrier.covers[id])) {
      for (let page = 0; page < pageCountOf(region); page++) {
        if (!barrier.release(region.id, page)) continue;
        const at = page * PAGE_BYTES;
        take(region.id, page, barrier.view(region.id).slice(at, at + PAGE_BYTES));
      }
      expectSame(memory[region.id]!, truth[region.id]!);
    }
    const { copiedAside } = barrier.figures();
    barrier.close();
    return copiedAside;
  }

  interface Writers {
    write_blob(bytes: Uint8Array, address: number): void;
    write8(address: number, value: number): void;
    write16(address: number, value: number): void;
    write32(address: number, value: number): void;
    reboot_internal(): void;
  }

  async function adoptWriters(change: object = {}) {
    const { guest, emulator } = await adopted(change);
    closing.push(() => guest.close());
    return { guest, emulator, cpu: emulator.v86.cpu, write: emulator.v86.cpu as unknown as Writers };
  }

  it('keeps what devices, the balloon, a reset and the BIOS copy write over', async () => {
    const { guest, cpu, write } = await adoptWriters();
    write.write_blob(new Uint8Array(64 * PAGE_BYTES).fill(0x77), 2 * MIB);
    const cases: Record<string, readonly [() => void, number]> = {
      write_blob: [() => write.write_blob(new Uint8Array(5000).fill(1), 0x20_0ffe), 3],
      write8: [() => write.write8(0x21_0123, 2), 1],
      write16: [() => write.write16(0x21_0fff, 0x303), 2],
      write32: [() => write.write32(0x21_2ffe, 0x4040404), 2],
      balloon: [() => cpu.zero_memory(0x20_0000, 12_288), 3],
      'copy of the BIOS': [() => write.write8(0xfff3_0001, 5), 1],
      'copy of the BIOS, words': [() => write.write32(0xfff4_0ffe, 0x6060606), 2],
      'past the end': [() => cpu.jit_dirty_cache(0x4000_0000, 0x4000_1000), 0],
    };
    for (const [name, [act, pages]] of Object.entries(cases)) {
      expect([name, await expectKept(guest, act)]).toEqual([name, pages]);
    }
    expect(await expectKept(guest, () => cpu.reset_memory())).toBe((4 * MIB) / PAGE_BYTES);
    expect(await expectKept(guest, () => write.reboot_internal())).toBeGreaterThan(0);
  });

  it('keeps what DMA and writes to disk images write over', async () => {
    const { guest, emulator } = await adoptWriters({
      hda: { buffer: Uint8Array.from({ length: 100_000 }, (_, at) => at & 0xff).buffer },
      fda: { buffer: Uint8Array.from({ length: 1_474_560 }, (_, at) => (at * 7) & 0xff).buffer },
    });
    const { dma, fdc, ide } = emulator.v86.cpu.devices;
    const floppy = fdc?.drives[0]?.buffer as unknown as Image;
    const disk = ide?.primary?.master.buffer as unknown as Image;
    const controller = dma as DmaController;
    const transfer = (name: 'do_read' | 'do_write') => () => {
      controller.channel_page[2] = 0x03;
      controller.channel_addr[2] = 0x0800;
      controller.channel_count[2] = 8191;
      return new Promise((done) => controller[name](floppy, 512, 8192, 2, done));
    };
    expect(await expectKept(guest, transfer('do_read'))).toBe(3);
    expect(await expectKept(guest, transfer('do_write'))).toBe(3);
    const put = (image: Image, start: number, bytes: number) => () =>
      new Promise<void>((done) => image.set(start, new Uint8Array(bytes).fill(9), done));
    expect(await expectKept(guest, put(disk, 4095, 2))).toBe(2);
    expect(await expectKept(guest, put(disk, 99_000, 1000))).toBe(1);
    await expectMarked(guest, 'disk.hda', put(disk, 0, 512), [0]);
    await expectMarked(guest, 'disk.fda', put(floppy, 8190, 10), [1, 2]);
  });

  it("keeps what v86's own restore and a restore by the port write over", async () => {
    const { guest, emulator } = await adoptWriters({
      hda: { buffer: new Uint8Array(65_536).fill(3).buffer },
    });
    const stock = emulator as unknown as {
      save_state(): Promise<ArrayBuffer>;
      restore_state(s: ArrayBuffer): Promise<void>;
    };
    await guest.start();
    await untilUp(guest);
    await guest.stop();
    const state = await stock.save_state();
    await runPulse(guest, 256);
    expect(await expectKept(guest, () => stock.restore_state(state))).toBeGreaterThan(100);
    const bytes = new Uint8Array(3 * PAGE_BYTES).fill(8);
    const writePages = () =>
      paused(guest, () => {
        guest.writePages({ region: 0, offsetBytes: 100, lengthBytes: bytes.length }, bytes);
        const hda = guest.regions.find(({ name }) => name === 'disk.hda')!;
        guest.writePages({ region: hda.id, offsetBytes: 0, lengthBytes: 10 }, bytes.subarray(0, 10));
      });
    expect(await expectKept(guest, writePages)).toBe(5);
  });

  it('makes do with a smaller ring, or none, where memory is refused', async () => {
    const { guest, cpu, write } = await adoptWriters();
    const ram = guest.regions[0]!;
    await guest.close();
    const marks = WriteMarks.arm(cpu);
    if (!(marks instanceof WriteMarks)) throw new Error(marks.untracked);
    for (const [limitBytes, ringBytes] of [
      [20_000_000, 4 * MIB],
      [2 * MIB, MIB],
      [4000, 0],
    ] as const) {
      const refusing = {
        ...marks.exports,
        allocate: (bytes: number) => (bytes > limitBytes ? 0 : marks.exports.allocate(bytes)),
      };
      const barrier = new RamBarrier(cpu, refusing, ram, { ringBytes: 4 * MIB, clock: SYSTEM_CLOCK });
      expect(barrier.ringBytes).toBe(ringBytes);
      const kept: number[] = [];
      barrier.arm(PageSet.from(1024, [0x210, 0x211]), (_, page) => kept.push(page));
      write.write16(0x21_0fff, 0x505);
      barrier.drain(9, (_, page) => kept.push(page));
      expect(kept).toEqual([0x210, 0x211]);
      barrier.close();
    }
    const none = { ...marks.exports, allocate: () => 0 };
    expect(() => new RamBarrier(cpu, none, ram, { ringBytes: 0, clock: SYSTEM_CLOCK })).toThrow(
      'memory-exhausted',
    );
    marks.remove();
  });

  interface Image {
    set(start: number, bytes: Uint8Array, done: () => void): void;
  }

  interface DmaController {
    do_read(
      disk: unknown,
      start: number,
      length: number,
      channel: number,
      done: (failed: boolean) => void,
    ): void;
    do_write(
      disk: unknown,
      start: number,
      length: number,
      channel: number,
      done: (failed: boolean) => void,
    ): void;
    channel_addr: Uint16Array;
    channel_page: Uint8Array;
    channel_count: Uint16Array;
  }

  async function expectMarked(
    guest: V86Guest,
    name: string,
    act: () => unknown,
    pages: number[],
  ): Promise<void> {
    const { id } = guest.regions.find((region) => region.name === name)!;
    await paused(guest, () => guest.takeDirty().commit());
    await act();
    await paused(guest, () => {
      const take = guest.takeDirty();
      expect([...take.pages[id]!]).toEqual(pages);
      take.commit();
    });
  }
});

describe('a machine whose memory was taken apart', () => {
  it('frees what a capture allocated', async () => {
    const { guest, emulator }: { guest: V86Guest; emulator: V86Emulator } = await adopted();
    closing.push(() => guest.close());
    const { wasm_memory: memory } = emulator.v86.cpu;
    const open = () => guest.openBarrier({ ringBytes: 4 * MIB, clock: SYSTEM_CLOCK });
    open().close();
    const grown = memory.buffer.byteLength;
    for (let round = 0; round < 20; round++) open().close();
    expect(memory.buffer.byteLength).toBe(grown);
  });
});
