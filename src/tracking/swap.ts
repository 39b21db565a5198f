// Putting another instant into a guest, all or nothing: staged pages of the mirror are written where they differ, what
// they replaced is kept aside, and devices come last. When anything fails, the guest gets its own pages back.

import type { OwnedBytes } from '../base/bytes.ts';
import { copyBytes } from '../base/bytes.ts';
import type { DeviceRecord, Guest } from '../guest/guest.ts';
import { type PageRun, PageSet } from '../memory/page-set.ts';
import type { Mirror } from './mirror.ts';

interface ReplacedPage {
  readonly region: number;
  readonly offsetBytes: number;
  readonly bytes: OwnedBytes;
}

/**
 * Writes the staged pages that differ from the guest's, then loads the devices. The guest is paused.
 *
 * Returns the pages written. On failure memory and devices are as before, and the guest's own error is thrown.
 */
export async function swapIn(
  guest: Guest,
  mirror: Mirror,
  staged: readonly PageSet[],
  devices: readonly DeviceRecord[],
): Promise<number> {
  const devicesBefore = await guest.saveDevices();
  const replaced: ReplacedPage[] = [];
  try {
    for (const [region, pages] of staged.entries()) {
      for (const chunk of mirror.chunks(region, pages)) {
        const differing = await keepDiffering(guest, mirror, region, chunk, replaced);
        for (const { first, count } of differing.runs()) {
          await writeRun(guest, mirror, region, { first: chunk.first + first, count });
        }
      }
    }
    await guest.loadDevices(devices);
  } catch (error) {
    for (const { region, offsetBytes, bytes } of replaced.reverse()) {
      await asFarAsItGoes(() => guest.writePages({ region, offsetBytes, lengthBytes: bytes.length }, bytes));
    }
    await asFarAsItGoes(() => guest.loadDevices(devicesBefore));
    throw error;
  }
  return replaced.length;
}

/** On the way back: a guest that fails at one page again still gets the others. The first error is the one that counts. */
async function asFarAsItGoes(work: () => void | Promise<void>): Promise<void> {
  try {
    await work();
  } catch {
    // The caller throws what began it.
  }
}

/** Copies what is about to be replaced; answers with the differing pages, counted from the chunk's first. */
async function keepDiffering(
  guest: Guest,
  mirror: Mirror,
  region: number,
  chunk: { readonly first: number; readonly count: number },
  replaced: ReplacedPage[],
): Promise<PageSet> {
  const { pageBytes, sizeBytes } = guest.regions[region]!;
  const differing = new PageSet(chunk.count);
  await mirror.compareRun(guest, region, chunk.first, chunk.count, (page, guestBytes) => {
    const offsetBytes = page * pageBytes;
    const lengthBytes = Math.min(pageBytes, sizeBytes - offsetBytes);
    replaced.push({ region, offsetBytes, bytes: copyBytes(guestBytes.subarray(0, lengthBytes)) });
    differing.add(page - chunk.first);
  });
  return differing;
}

/** Neighbouring pages go in one call: an adapter may do work for each, as clearing a TLB. */
async function writeRun(
  guest: Guest,
  mirror: Mirror,
  region: number,
  { first, count }: PageRun,
): Promise<void> {
  const { pageBytes, sizeBytes } = guest.regions[region]!;
  const offsetBytes = first * pageBytes;
  const lengthBytes = Math.min(count * pageBytes, sizeBytes - offsetBytes);
  const bytes = mirror.run(region, first, count).subarray(0, lengthBytes);
  await guest.writePages({ region, offsetBytes, lengthBytes }, bytes);
}
