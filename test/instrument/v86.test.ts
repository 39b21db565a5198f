// v86 with all of its code instrumented, the modules that it compiles while it runs too: a full compare after each window finds no
// changed page without a mark, and no page that was not copied aside before it changed.

import { V86 } from 'v86';
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { PULSE, PULSE_FACTS, pulseRom } from '../../src/guest/pulse/pulse.ts';
import { until, v86Bytes } from '../guest/v86/machines.ts';
import { changedPages } from './changed-pages.ts';
import { InstrumentedV86 } from './instrumented-v86.ts';

const WINDOWS = 6;
/** Loops of Pulse a window: enough for v86 to compile it. */
const LOOPS = 40;

/** A started machine with Pulse, and its loop counter. */
async function startPulse(kind: 'marks' | 'barriers') {
  const program = new InstrumentedV86(v86Bytes(), kind, 64 * MIB);
  const emulator = new V86({
    wasm_fn: program.wasmFn,
    memory_size: 4 * MIB,
    vga_memory_size: MIB,
    bios: { buffer: pulseRom().buffer },
    autostart: false,
    disable_speaker: true,
    net_device: { type: 'none' },
    // biome-ignore lint/suspicious/noExplicitAny: v86's own types know less than it takes.
  } as any) as any;
  await new Promise<void>((resolve) => emulator.add_listener('emulator-ready', resolve));
  const word = (address: number): number => {
    const at = emulator.v86.cpu.mem8.byteOffset + address;
    return new DataView(program.memory.buffer).getUint32(at, true);
  };
  const work = async (loops: number): Promise<void> => {
    await emulator.run();
    await until(() => word(PULSE.magic) === PULSE_FACTS.magic, 'Pulse to start');
    const goal = word(PULSE.loops) + loops;
    await until(() => word(PULSE.loops) >= goal, `loop ${goal}`);
    await emulator.stop();
  };
  return { program, work, close: () => emulator.destroy() };
}

describe('v86, instrumented throughout', () => {
  it('marks what it writes', async () => {
    const { program, work, close } = await startPulse('marks');
    let total = 0;
    for (let window = 0; window < WINDOWS; window++) {
      const before = program.image();
      program.takeMarks();
      await work(LOOPS);
      const marks = program.takeMarks();
      const changed = changedPages(before, program.image(), program.map.pageBytes);
      expect(changed.filter((page) => marks[page] !== 1)).toEqual([]);
      expect(program.isDamaged).toBe(false);
      total += changed.length;
      const marked = marks.reduce((sum, mark) => sum + mark, 0);
      expect(marked).toBeLessThan(marks.length / 2);
      if (process.env.VERBOSE) console.log({ changed: changed.length, marked });
    }
    const { modules, times, bytesIn, bytesOut } = program.figures;
    expect(total).toBeGreaterThan(WINDOWS);
    expect(modules).toBeGreaterThan(0);
    if (process.env.VERBOSE) console.log({ modules, bytesIn, bytesOut, times });
    close();
  });

  it('says so before it writes', async () => {
    const { program, work, close } = await startPulse('barriers');
    let copies = 0;
    for (let window = 0; window < WINDOWS; window++) {
      const truth = program.image();
      const aside = program.arm();
      await work(LOOPS);
      program.disarm();
      const rebuilt = program.image().subarray(0, truth.length);
      for (const [page, bytes] of aside) {
        const at = page * program.map.pageBytes;
        if (at < rebuilt.length) rebuilt.set(bytes, at);
      }
      expect(changedPages(truth, rebuilt, program.map.pageBytes)).toEqual([]);
      copies += aside.size;
    }
    expect(copies).toBeGreaterThan(WINDOWS);
    expect(program.figures.modules).toBeGreaterThan(0);
    close();
  });
});
