// The RP2040 by rp2040js, running Tally: what it does, the suite that all guests pass, the proof by running again, and the
// engine.

import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { nextTask } from '../../../src/base/pacing.ts';
import { openRp2040, RP2040JS_VERSION, TALLY, TALLY_MAGIC } from '../../../src/guest/rp2040/index.ts';
import { TALLY_CODE_BASE64, TALLY_COMPILER } from '../../../src/guest/rp2040/tally/tally-code.ts';
import { openTracker, openVitrine } from '../../../src/index.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { openMemoryStore } from '../../../src/store/memory-store.ts';
import { guestConformance, type OpenSubject } from '../../../src/testing/guest-conformance.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';
import { Random } from '../../../src/testing/random.ts';
import { verifyRoundTrip } from '../../../src/testing/verify-round-trip.ts';
import { openScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { tickingClock } from '../../support/engine.ts';
import { seedOfRun } from '../../support/seed.ts';
import { openTally, type TallyBoard } from './boards.ts';

// @ts-expect-error A build script: plain JavaScript without types.
const { armCompilerVersion, compileTally } = await import('../../../src/guest/rp2040/tally/build.mjs');
const compiler: string | undefined = armCompilerVersion();

const api = { describe, expect, it };
const CYCLES = 30_000;

function opener(tracking: 'none' | 'barrier', memory: 'private' | 'shared'): OpenSubject {
  return async () => {
    const { board, word, ask } = openTally({ tracking, memory });
    ask('w');
    return {
      guest: board.guest,
      run: async () => `${board.run(CYCLES)} ${word(TALLY.random)} ${word(TALLY.ticks)} ${board.nanos}`,
    };
  };
}

guestConformance('rp2040', opener('barrier', 'private'), api);
guestConformance('rp2040 in shared memory', opener('barrier', 'shared'), api);
guestConformance('rp2040, scanned', opener('none', 'private'), api);

describe('Tally', () => {
  // Its program is in the repository; Debian's compiler (gcc-arm-none-eabi) makes it anew where it is installed.
  it.skipIf(compiler === undefined)('is what its source compiles to, or does the same', () => {
    const compiled: Uint8Array = compileTally();
    const base64 = Buffer.from(compiled).toString('base64');
    if (compiler === TALLY_COMPILER) expect(base64).toBe(TALLY_CODE_BASE64);
    const talk = ({ ask }: TallyBoard) =>
      ['c', 'd', 'p', 'm', 'hello'].map(ask).map((text) => text.replace(/\d+/g, 'n'));
    expect(talk(openTally({ firmware: compiled }))).toEqual(talk(openTally()));
  });

  it('counts, answers, copies by DMA, turns words over by PIO and keeps its memory whole', () => {
    const { ask, heard, word, board } = openTally();
    expect(heard()).toBe('Tally 1, on an RP2040. h for help.\r\n> ');
    expect(word(TALLY.magic)).toBe(TALLY_MAGIC);
    expect(ask('w')).toBe('w\r\nwriting\r\n> ');
    board.run(4_000_000);
    expect(ask('w')).toBe('w\r\nresting\r\n> ');
    expect(word(TALLY.pagesWritten)).toBeGreaterThan(32);
    expect(ask('d')).toBe('d\r\ndma: copied\r\n> ');
    expect(ask('p')).toBe('p\r\npio: 16 words turned over\r\n> ');
    expect(ask('m')).toBe('m\r\nmemory: whole\r\n> ');
    expect(ask('guten Tag')).toBe('guten Tag\r\nyou said: guten Tag\r\n> ');
    expect(ask('c')).toMatch(/^c\r\nticks \d+, pages \d+, keys 22, faults 0\r\n> $/);
    // A hundred ticks a second of its own clock, whatever the host's says.
    const [ticks, nanos] = [word(TALLY.ticks), board.nanos];
    board.run(125_000_000);
    expect(word(TALLY.ticks) - ticks).toBe(Math.round((board.nanos - nanos) / 1e7));
  });

  it('loses nothing of what comes in one go', () => {
    const { ask } = openTally();
    expect(ask('one\rtwo words\rd\rm')).toBe(
      [
        ...['one\r\nyou said: one\r\n> ', 'two words\r\nyou said: two words\r\n> '],
        ...['d\r\ndma: copied\r\n> ', 'm\r\nmemory: whole\r\n> '],
      ].join(''),
    );
  });

  it('finds a page that someone else changed', () => {
    const { ask, board } = openTally();
    board.chip.writeUint8(TALLY.pages + 4100, 1);
    expect(ask('m')).toBe('m\r\nmemory: wrong\r\n> ');
  });
});

describe('the rp2040', () => {
  it('is of the version that is installed', async () => {
    const text = await readFile(
      new URL('../../../node_modules/rp2040js/package.json', import.meta.url),
      'utf8',
    );
    expect(JSON.parse(text)).toMatchObject({ version: RP2040JS_VERSION });
  });

  it('goes on exactly from any instruction, in itself and in another board', async () => {
    const seed = seedOfRun();
    const random = new Random(seed);
    const { board, ask } = openTally();
    const other = openTally();
    for (const line of ['w', 'd', 'p', 'c', 'some words']) {
      board.sendSerial(new TextEncoder().encode(`${line}\r`));
      for (let point = 0; point < 4; point++) {
        board.run(random.below(40_000));
        for (let step = random.below(7); step > 0; step--) board.step();
        const report = await verifyRoundTrip(board.guest, {
          run: () => board.run(60_000),
          other: { guest: other.board.guest, run: () => other.board.run(60_000) },
          nameDifference: (a, b) => board.nameDifference(a, b),
        });
        expect({ seed, line, point, report }).toEqual({ seed, line, point, report: { ok: true } });
      }
    }
    expect(ask('m')).toContain('memory: whole');
  });

  it('goes on exactly whatever was written into its devices', async () => {
    const seed = seedOfRun();
    const random = new Random(seed);
    const { board } = openTally();
    const other = openTally();
    for (const one of [board, other.board]) one.chip.logger = silent;
    // Chance makes DMA channels start each other without end, and the watchdog bite at once and again: the emulator, all in
    // one call, never comes back from either.
    const endless = [0x5000_0000, 0x4005_8000];
    const bases = Object.keys(board.chip.peripherals)
      .map((key) => Number(key) * 4096)
      .filter((base) => !endless.includes(base));
    expect(bases.length).toBeGreaterThan(25);
    for (const base of bases) {
      for (let write = 0; write < 60; write++) {
        // Small values switch more on than large ones.
        const value = random.chance(0.5) ? random.below(256) : random.u32();
        board.chip.writeUint32(base + 4 * random.below(80), value);
      }
      board.run(200);
      const report = await verifyRoundTrip(board.guest, {
        run: () => board.run(2_000),
        other: { guest: other.board.guest, run: () => other.board.run(2_000) },
        nameDifference: (a, b) => board.nameDifference(a, b),
      });
      expect({ seed, base, report }).toEqual({ seed, base, report: { ok: true } });
    }
  });

  it('marks what any of its writers writes', async () => {
    const { board, ask } = openTally();
    const { chip, guest } = board;
    const told = () => {
      guest.pauseNow!();
      const take = guest.takeDirty();
      take.commit();
      guest.resumeNow!();
      return take.pages.map((pages) => [...(pages ?? [])]);
    };
    const wrote = (write: () => void) => {
      told();
      write();
      return told();
    };
    const none: number[] = [];
    const RAM = 0x2000_0000;
    expect(wrote(() => chip.writeUint8(RAM + 1023, 1))).toEqual([[0], none, none, none]);
    expect(wrote(() => chip.writeUint16(RAM + 1024, 1))).toEqual([[1], none, none, none]);
    expect(wrote(() => chip.writeUint32(RAM + 2046, 1))).toEqual([[1, 2], none, none, none]);
    expect(wrote(() => chip.writeUint8(0x1000_1001, 1))).toEqual([none, [1], none, none]);
    expect(wrote(() => chip.writeUint32(0x5010_0800, 1))).toEqual([none, none, [2], none]);
    expect(wrote(() => chip.writeUint32(0x20, 1))).toEqual([none, none, none, [0]]);
    // The USB controller's own ways: a host's packet, and a buffer that is done.
    expect(wrote(() => chip.usbCtrl.sendSetupPacket(Uint8Array.of(1, 2, 3)))).toEqual([
      none,
      none,
      [0],
      none,
    ]);
    const bufferDone = (): void => {
      chip.usbCtrl.endpointReadDone(2, Uint8Array.of(1), 0);
      board.run(2_000);
    };
    expect(wrote(bufferDone)[2]).not.toEqual(none);
    expect(wrote(() => chip.reset())[1]).toHaveLength(16);
    expect(wrote(() => chip.loadBootrom(new Uint32Array(4096)))[3]).toHaveLength(4);
    const fresh = openTally();
    const tracker = await openScanTracker(fresh.board.guest, { openKernels: loadKernels });
    for (const line of ['d', 'p', 'w', 'c', 'x', 'd', 'm']) {
      fresh.ask(line);
      await tracker.capture({ full: false });
      await tracker.commit();
    }
    // Three captures were audited: DMA, PIO, interrupts and stores, each found by comparing and by marks alike.
    expect(await tracker.describe()).toMatchObject({ tier: 'barrier' });
    await tracker.close();
    expect(ask).toBeDefined();
  });

  it('is saved, forked and restored by the engine while it runs by itself', async () => {
    const { board, word } = openTally();
    const vitrine = await openVitrine({ store: openMemoryStore() });
    const machine = vitrine.adopt('pico', await openTracker(board.guest));
    board.start();
    await expect.poll(() => word(TALLY.ticks), { timeout: 30_000 }).toBeGreaterThan(3);
    const { snapshot } = await machine.save();
    const peek = async () => {
      const { bytes } = await machine.peek([{ address: TALLY.ticks, lengthBytes: 4 }]);
      return new DataView(bytes[0]!.buffer, bytes[0]!.byteOffset).getUint32(0, true);
    };
    const saved = word(TALLY.ticks);
    await expect.poll(peek, { timeout: 30_000 }).toBeGreaterThan(saved + 3);
    board.stop();
    await machine.restore(snapshot.id);
    const restored = await peek();
    expect(restored).toBeLessThanOrEqual(saved);
    const other = openTally();
    const fork = vitrine.adopt('fork', await openTracker(other.board.guest));
    await fork.restore(snapshot.id);
    expect(other.word(TALLY.ticks)).toBe(restored);
    expect([board.run(500_000), word(TALLY.random)]).toEqual([
      other.board.run(500_000),
      other.word(TALLY.random),
    ]);
    await vitrine.close();
  });

  it('is saved while it writes hard, as it was at the pause', async () => {
    const { board, ask } = openTally();
    ask('w');
    let truth = new Uint8Array(0);
    const saveDevices = board.guest.saveDevices.bind(board.guest);
    board.guest.saveDevices = () => {
      truth = board.chip.sram.slice();
      return saveDevices();
    };
    const vitrine = await openVitrine({ store: openMemoryStore() });
    // A clock on which copying takes long, so that the board runs between two slices of it.
    const tracker = await openScanTracker(board.guest, { openKernels: loadKernels, clock: tickingClock() });
    const machine = vitrine.adopt('pico', tracker);
    let isRunning = true;
    const writing = (async () => {
      for (; isRunning; await nextTask()) if (!board.guest.rests) board.run(5_000);
    })();
    const saved: { readonly id: string; readonly truth: Uint8Array }[] = [];
    let copiedAside = 0;
    for (const bufferBytes of [0, 4096, 1 << 20]) {
      const { live, snapshot } = await machine.save({ live: { bufferBytes } });
      expect(live).toMatchObject({ mode: 'barrier' });
      copiedAside += live!.pagesCopiedAside;
      saved.push({ id: snapshot.id, truth });
    }
    isRunning = false;
    await writing;
    expect(copiedAside).toBeGreaterThan(0);
    const other = openTally();
    const fork = vitrine.adopt('fork', await openTracker(other.board.guest));
    for (const point of saved) {
      await fork.restore(point.id);
      expect(Buffer.compare(other.board.chip.sram, point.truth)).toBe(0);
    }
    await vitrine.close();
  });

  it('goes back to a checkpoint a thousand times, to the bit, and looks at what was written alone', async () => {
    const { board, ask, word } = openTally();
    ask('w');
    const tracker = await openScanTracker(board.guest, { openKernels: loadKernels });
    await tracker.checkpoint();
    const [random, pages] = [word(TALLY.random), word(TALLY.pagesWritten)];
    let compared = 0;
    for (let round = 0; round < 1000; round++) {
      board.run(2_000 + (round % 97));
      expect(word(TALLY.random)).not.toBe(random);
      const report = tracker.resetNow();
      if (round >= 10) compared = Math.max(compared, report.pagesCompared);
      expect([word(TALLY.random), word(TALLY.pagesWritten)]).toEqual([random, pages]);
    }
    expect(compared).toBeLessThan(12);
    await tracker.close();
  });

  it('is saved and put back where it asks, behind that very store, and reads how it came back', async () => {
    const { board, ask, heard, word } = openTally();
    const { core } = board.chip;
    // The board rests until it is answered, and is then run on.
    const askAndWait = async (line: string): Promise<string> => {
      const said = ask(line);
      await expect.poll(() => board.guest.rests).toBe(false);
      board.run(50_000);
      return said + heard();
    };
    expect(ask('s')).toBe('s\r\nnobody serves the doorbell\r\n> ');
    const vitrine = await openVitrine({ store: openMemoryStore() });
    const machine = vitrine.adopt('pico', await openTracker(board.guest));
    const served = await machine.serveDoorbell({ maxPerSecond: 1e9 });
    expect(await askAndWait('s')).toBe('s\r\nsaved\r\n> ');
    const keys = word(TALLY.keys);
    for (let round = 0; round < 3; round++) {
      ask('hello');
      expect(await askAndWait('r')).toBe('r\r\nrestored\r\n> ');
      // The keys typed since are not in the point.
      expect(word(TALLY.keys)).toBe(keys);
    }
    expect(await served.report()).toMatchObject({ saves: 1, resets: 3, refused: 0 });
    await served.stop();
    // The instruction: by steps, from the ring on.
    let rangAt = -1;
    board.guest.doorbell!.serve(
      () => {
        rangAt = core.PC;
        return 'first';
      },
      { maxPerSecond: 1e9 },
    );
    board.sendSerial(new TextEncoder().encode('s\r'));
    let before = core.PC;
    while (rangAt < 0) {
      before = core.PC;
      board.step();
    }
    expect(rangAt).toBe(before + 2);
    expect(core.PC).toBe(rangAt);
    // `str rX, [rY, #0]`
    expect(board.chip.readUint16(before) >> 11).toBe(0b01100);
    await vitrine.close();
  });

  it('is saved as a snapshot where it asks, and goes on from there in another board', async () => {
    const { board, heard } = openTally();
    const vitrine = await openVitrine({ store: openMemoryStore() });
    const machine = vitrine.adopt('pico', await openTracker(board.guest));
    await machine.serveDoorbell({ keep: 'snapshot', maxPerSecond: 1e9 });
    heard();
    board.start();
    board.sendSerial(new TextEncoder().encode('s\r'));
    let said = '';
    const hear = (): string => {
      said += heard();
      return said;
    };
    await expect.poll(hear, { timeout: 30_000 }).toBe('s\r\nsaved\r\n> ');
    board.stop();
    const [snapshot] = await vitrine.log({ machine: 'pico' });
    const other = openTally();
    const fork = vitrine.adopt('fork', await openTracker(other.board.guest));
    await fork.restore(snapshot!.id);
    other.heard();
    other.board.run(10_000);
    expect(other.heard()).toBe('restored\r\n> ');
    await vitrine.close();
  });

  it('cannot rest in the middle of an instruction, and goes on', () => {
    const { board } = openTally();
    let refused = '';
    const stop = board.onSerial(() => {
      try {
        board.guest.pauseNow!();
      } catch (error) {
        refused = String(error);
      }
    });
    board.sendSerial(new TextEncoder().encode('x'));
    board.run(20_000);
    stop();
    expect(refused).toMatch(/guest-not-quiescent/);
    board.guest.pauseNow!();
    expect(() => board.run(1)).toThrow(/wrong-state/);
    board.guest.resumeNow!();
  });

  it('that throws has failed, and says so from then on', async () => {
    for (const byItself of [true, false]) {
      const { board } = openTally();
      board.chip.core.executeInstruction = () => {
        throw new RangeError('no such instruction');
      };
      if (byItself) {
        board.start();
        await expect
          .poll(() => codeOf(() => board.guest.pause().then(() => board.guest.resume())))
          .toBe('guest-failed');
      } else expect(() => board.run(1_300_000)).toThrow(/guest-failed/);
      expect(() => board.run(1)).toThrow(/guest-failed/);
      await expect(board.guest.pause()).rejects.toThrow(/guest-failed/);
    }
  });

  it('refuses firmware that does not fit, and a flash that no chip has', () => {
    expect(() => openRp2040({ firmware: new Uint8Array(4097), flashBytes: 4096 })).toThrow(
      /argument-invalid/,
    );
    expect(() => openRp2040({ firmware: new Uint8Array(1), flashBytes: 5000 })).toThrow(/argument-invalid/);
  });
});

const silent = { debug() {}, info() {}, warn() {}, error() {} };
