// Proves, on the kernel that is here, that it tells every page that a process wrote in a private mapping of a file: with Pulse on
// an image of zeros. A page that differs from the image and is not told as the process's own would be one that saves and resets
// of clones miss.
//
//   run ─▶ rest: all of RAM against the image ─▶ run on, with all of RAM mapped now ─▶ rest: the same again
//
// Done once a process for each program and accelerator, when the first image is made; some tenths of a second.

import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import { PULSE, PULSE_FACTS, pulseRom } from '../../guest/pulse/pulse.ts';
import type { QemuProcess } from './process.ts';
import { openProcessRam, type ProcessRam } from './process-ram.ts';
import type { Verdict } from './self-test.ts';
import { onceForEach, type Tried, withTrialMachine } from './trial.ts';

const MEMORY_BYTES = 4 * MIB;
const PAGE_BYTES = 4096;
/** Pages that Pulse works on before each look. */
const LOOPS = 4;
const TIMEOUT_MS = 20_000;

/** Proves a profile's program and accelerator; the second time it knows. Throws `guest-start` when QEMU does not start. */
export const provePageMap = onceForEach(prove);

async function prove({ program, accelerator }: Tried, root: string | undefined): Promise<Verdict> {
  const directory = await mkdtemp(join(tmpdir(), 'vitrine-page-map-'));
  try {
    const ramImage = join(directory, 'ram');
    const image = await open(ramImage, 'wx', 0o600);
    await image.truncate(MEMORY_BYTES);
    await image.close();
    // Pulse knows the old interrupt controllers alone; firmware would let them through the local APIC.
    const profile = { program, accelerator, memoryBytes: MEMORY_BYTES, cpu: 'qemu64,-apic', ramImage };
    return await withTrialMachine('page-map', pulseRom(), profile, root, verdictOf);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function verdictOf({ qmp, pid }: QemuProcess): Promise<Verdict> {
  try {
    const ram = await openProcessRam(qmp, pid, MEMORY_BYTES);
    try {
      for (const loops of [LOOPS, 2 * LOOPS]) {
        await qmp.execute('cont');
        await untilLoops(ram, loops);
        await qmp.execute('stop');
        const fault = faultOf(ram);
        if (fault !== undefined) return { works: false, because: fault };
      }
      return { works: true, because: 'every page that Pulse wrote was told' };
    } finally {
      ram.close();
    }
  } catch (error) {
    if (!isVitrineError(error)) throw error;
    return { works: false, because: error.message };
  }
}

async function untilLoops(ram: ProcessRam, loops: number): Promise<void> {
  const word = (address: number): number => {
    const bytes = Buffer.alloc(4);
    ram.read(address, bytes);
    return bytes.readUInt32LE();
  };
  const until = Date.now() + TIMEOUT_MS;
  while (word(PULSE.magic) !== PULSE_FACTS.magic || word(PULSE.loops) < loops) {
    if (Date.now() > until)
      throw new VitrineError('guest-timeout', { command: 'Pulse', timeoutMs: TIMEOUT_MS });
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A page that differs from the image, which is zeros, and was not told; or that nothing, or everything, was. */
function faultOf(ram: ProcessRam): string | undefined {
  const pageCount = MEMORY_BYTES / PAGE_BYTES;
  const own = ram.writtenPages(0, MEMORY_BYTES);
  const page = Buffer.alloc(PAGE_BYTES);
  const zeros = Buffer.alloc(PAGE_BYTES);
  let differing = 0;
  for (let index = 0; index < pageCount; index++) {
    ram.read(index * PAGE_BYTES, page);
    if (page.equals(zeros)) continue;
    differing++;
    if (!own.has(index)) return `page ${index} was written and not told`;
  }
  if (differing === 0) return 'nothing was written';
  return own.size === pageCount ? 'every page was told, written or not' : undefined;
}
