// Content for all of a large machine's RAM: every page is another one, and compresses, so that neither memory nor disk of the
// host are what a test waits for. Pulse lives below it.

import { readFileSync, statfsSync } from 'node:fs';
import { MIB } from '../../src/base/limits.ts';
import type { QemuMachine } from '../../src/host/qemu/qemu-machine.ts';

const PAGE = 4096;
export const FIRST_MIB = 4;

/** Writes the content of a round into those MiB that are chosen. */
export async function fillRam(
  { guest }: QemuMachine,
  round: number,
  isChosen: (mib: number) => boolean = () => true,
): Promise<void> {
  const words = newWords();
  await guest.pause();
  let mib = 0;
  for (const { id, sizeBytes } of guest.regions) {
    for (let offsetBytes = 0; offsetBytes < sizeBytes; offsetBytes += MIB, mib++) {
      if (mib < FIRST_MIB || !isChosen(mib)) continue;
      writeContent(mib, round, words);
      guest.writePages({ region: id, offsetBytes, lengthBytes: MIB }, new Uint8Array(words.buffer));
    }
  }
  await guest.resume();
}

/** How many MiB are not what `fillRam` wrote in that round. */
export function differingMebibytes({ guest }: QemuMachine, round: number): number {
  const words = newWords();
  const bytes = Buffer.alloc(MIB);
  let count = 0;
  let mib = 0;
  for (const { id, sizeBytes } of guest.regions) {
    for (let offsetBytes = 0; offsetBytes < sizeBytes; offsetBytes += MIB, mib++) {
      if (mib < FIRST_MIB) continue;
      guest.readTorn({ region: id, offsetBytes, lengthBytes: MIB }, bytes);
      writeContent(mib, round, words);
      if (!bytes.equals(new Uint8Array(words.buffer))) count++;
    }
  }
  return count;
}

/** What is missing for a machine of so much RAM and what waits to be put into it; undefined where there is room. */
export function missingRoom(memoryBytes: number): string | undefined {
  const available =
    Number(/MemAvailable:\s+(\d+) kB/.exec(readFileSync('/proc/meminfo', 'latin1'))?.[1]) * 1024;
  const { bavail, bsize } = statfsSync('/dev/shm');
  const wanted = 1.5 * memoryBytes + 1024 * MIB;
  if (Math.min(available, bavail * bsize) >= wanted) return undefined;
  return `needs ${Math.round(wanted / MIB)} MiB of free memory`;
}

function newWords(): Uint32Array<ArrayBuffer> {
  return new Uint32Array(MIB / 4).map((_, index) => index % 97);
}

function writeContent(mib: number, round: number, into: Uint32Array): void {
  for (let page = 0; page < MIB / PAGE; page++) {
    const at = (page * PAGE) / 4;
    const seed = Math.imul(mib * 256 + page + 1, 0x9e37_79b1) ^ round;
    for (let word = 0; word < 16; word++) into[at + word] = Math.imul(seed, 2 * word + 1);
  }
}
