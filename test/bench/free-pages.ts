// For P3: saves of a Linux that wrote a file of 24 MiB and deleted it again, with its free pages left out and with every byte.

import { loadKernels } from '../../src/kernel/load.ts';
import { openVitrine } from '../../src/open-vitrine.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { openLinux, Shell } from '../linux/shell.ts';
import { type BenchResult, median } from './row.ts';

const ROUNDS = 7;
const WORK = 'dd if=/dev/urandom of=/tmp/gone bs=1M count=24 2>/dev/null; rm /tmp/gone';
const KIB = 1024;

export async function savesOfFreedMemory(): Promise<{
  readonly results: BenchResult[];
  readonly notes: string[];
}> {
  const guest = await openLinux();
  const engine = await openVitrine({ store: openMemoryStore() });
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  const machine = engine.adopt('linux', tracker);
  const shell = new Shell(guest);
  await guest.start();
  await shell.untilUp();
  await machine.save();
  const seen = {
    skip: { ms: [] as number[], bytes: [] as number[], pages: [] as number[] },
    keep: { ms: [] as number[], bytes: [] as number[], pages: [] as number[] },
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (const freePages of ['skip', 'keep'] as const) {
      await shell.run(WORK);
      const startMs = performance.now();
      const report = await machine.save({ freePages });
      seen[freePages].ms.push(performance.now() - startMs);
      seen[freePages].bytes.push(report.bytesWritten);
      seen[freePages].pages.push(report.pagesSkippedFree);
      await engine.delete([report.snapshot.id]);
    }
  }
  await machine.close();
  await engine.close();
  const ratio = (name: string, ours: number, peer: number): BenchResult => ({
    name,
    value: peer / ours,
    unit: 'x',
    better: 'higher',
    goal: 2,
    ours,
    peer,
  });
  const bytes = [median(seen.skip.bytes), median(seen.keep.bytes)] as const;
  return {
    results: [
      ratio(
        'after a deleted file: time (ms) vs keeping free pages',
        median(seen.skip.ms),
        median(seen.keep.ms),
      ),
      ratio('after a deleted file: bytes vs keeping free pages', ...bytes),
    ],
    notes: [
      `After 24 MiB that were written and deleted, ${median(seen.skip.pages)} pages were left out: ${Math.round(bytes[0] / KIB)} KiB ` +
        `instead of ${Math.round(bytes[1] / KIB)}. The wait for the kernel's answer is in the time.`,
    ],
  };
}
