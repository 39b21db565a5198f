// Live captures of a PC that writes all its memory, checked against copies made in their pauses. Runs on a page's thread and in
// a worker.

import { openV86 } from '../../../src/guest/v86/open-v86.ts';
import { HARD_WRITER, hardWriterRom } from '../../../src/host/qemu/hard-writer.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { pageCountOf } from '../../../src/memory/region.ts';
import { openScanTracker } from '../../../src/tracking/scan-tracker.ts';
import type { LiveReport } from '../../../src/tracking/tracker.ts';

export interface LiveCaptures {
  readonly reports: readonly LiveReport[];
  /** Pages that were not what they were in the pause: none. */
  readonly wrongPages: number;
  readonly isShared: boolean;
}

/** How often a capture is taken again in which the guest came to write no page that was still awaited: the walk was quicker. */
const TRIES = 50;

/** A capture with each ring into which the guest wrote. `wasmUrl` is where v86's program is. */
export async function liveCaptures(wasmUrl: string, rings: readonly number[]): Promise<LiveCaptures> {
  const memoryBytes = 8 * 2 ** 20;
  const rom = hardWriterRom(memoryBytes);
  const guest = await openV86({ wasm: { url: wasmUrl }, memoryBytes, bios: { bytes: rom }, memory: 'auto' });
  let truth: Uint8Array[] = [];
  const saveDevices = guest.saveDevices.bind(guest);
  guest.saveDevices = () => {
    truth = guest.regions.map(({ id }) => guest.view(id)!.slice());
    return saveDevices();
  };
  const rounds = async () => {
    const word = new Uint8Array(4);
    await guest.pause();
    guest.readPages({ region: 0, offsetBytes: HARD_WRITER.rounds, lengthBytes: 4 }, word);
    await guest.resume();
    return new DataView(word.buffer).getUint32(0, true);
  };
  /** All memory is written once more. */
  const another = async () => {
    const from = await rounds();
    while ((await rounds()) < from + 2) await new Promise((next) => setTimeout(next, 1));
  };
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  await guest.start();
  const reports: LiveReport[] = [];
  let wrongPages = 0;
  const captureLive = async (bufferBytes: number): Promise<LiveReport> => {
    await another();
    const { live } = await tracker.capture({ full: false, live: { bufferBytes } });
    for (const region of guest.regions) {
      const pages = Uint32Array.from({ length: pageCountOf(region) }, (_, page) => page);
      const { bytes } = await tracker.readPages(region.id, pages);
      for (const page of pages) {
        const at = page * region.pageBytes;
        const end = Math.min(at + region.pageBytes, region.sizeBytes);
        if (differ(bytes, truth[region.id]!, at, end)) wrongPages++;
      }
    }
    await tracker.commit();
    return live!;
  };
  // Barriers serve once marks are proven, for which the guest is to have written enough between two captures.
  for (let tries = 1; (await captureLive(0)).mode !== 'barrier' && tries < TRIES; tries++);
  for (const bufferBytes of rings) {
    let report = await captureLive(bufferBytes);
    for (let tries = 1; report.pagesCopiedAside === 0 && tries < TRIES; tries++) {
      report = await captureLive(bufferBytes);
    }
    reports.push(report);
  }
  await another();
  await tracker.close();
  return { reports, wrongPages, isShared: guest.traits.sharedMemory };
}

function differ(a: Uint8Array, b: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (a[at] !== b[at]) return true;
  return false;
}
