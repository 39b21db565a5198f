// Linux on v86 with all of its code instrumented, that which it compiles while it runs too: no page of the whole program's memory
// changes without a mark, from the power switch on, nor before it was copied aside.

import { expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { bootLinux } from '../bench/linux.ts';
import { v86Bytes } from '../guest/v86/machines.ts';
import { changedPages } from '../instrument/changed-pages.ts';
import { InstrumentedV86 } from '../instrument/instrumented-v86.ts';

const COMMANDS = [
  'ls -l /bin | md5sum',
  'seq 1 2000 | sort -rn | md5sum',
  'dd if=/dev/urandom bs=64k count=20 2>/dev/null | gzip | md5sum',
];

// Barriers mark as well, so one boot shows both.
it('marks and barriers of Linux miss nothing', async () => {
  const program = new InstrumentedV86(v86Bytes(), 'barriers', 256 * MIB);
  const { emulator, guest, shell } = await bootLinux({ memoryMiB: 80, wasmFn: program.wasmFn });
  await emulator.stop();
  const { pageBytes } = program.map;
  for (const command of COMMANDS) {
    const truth = program.image();
    const aside = program.arm();
    await emulator.run();
    await shell(command);
    await emulator.stop();
    const now = program.image();
    const marks = program.takeMarks();
    const changed = changedPages(truth, now, pageBytes);
    expect(changed.length).toBeGreaterThan(20);
    expect(program.isDamaged).toBe(false);
    expect(changed.filter((page) => marks[page] !== 1)).toEqual([]);
    program.disarm();
    const rebuilt = now.subarray(0, truth.length);
    for (const [page, bytes] of aside)
      if (page * pageBytes < rebuilt.length) rebuilt.set(bytes, page * pageBytes);
    expect(changedPages(truth, rebuilt, pageBytes)).toEqual([]);
  }
  const { modules, bytesIn, bytesOut, times } = program.figures;
  expect(modules).toBeGreaterThan(20);
  if (process.env.VERBOSE) {
    const sorted = [...times].sort((a, b) => a - b);
    console.log({ modules, bytesIn, bytesOut, medianMs: sorted[sorted.length >> 1], mostMs: sorted.at(-1) });
  }
  await guest.close();
});
