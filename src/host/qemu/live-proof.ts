// Proves, on the QEMU that is here, that what it streams of a running machine is one instant: with a program that writes all its
// memory all the time, and whose memory says by its own rule whether it is of one instant. Done once a process for each program,
// accelerator and file system that RAM lies in, when the first machine is saved while it runs; a second or two. Memory that a machine
// shares with us and memory that it maps privately from an image, as clones do, are two things to a kernel, and are proven each.
//
// It is needed: without KVM, QEMU before 9.0 can miss writes to a page that is written over and over, since its processors keep
// the translation of its address from before its first copy was sent. Snapshots of such a stream would be wrong without a word.
// How often it misses is chance, and a right stream now and then proves nothing; so without KVM that way is not even tried, and
// background snapshots serve, which watch the pages of the process and not what its processors translated.

import { dirname } from 'node:path';
import { isVitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import type { PageTold } from '../../guest/guest.ts';
import { PageSet } from '../../memory/page-set.ts';
import { HARD_WRITER, hardWriterFault, hardWriterRom } from './hard-writer.ts';
import type { LiveMethod } from './live-stream.ts';
import type { QemuProcess } from './process.ts';
import type { ResolvedProfile } from './profile.ts';
import { openQemuGuest, type QemuGuest } from './qemu-guest.ts';
import { writeRamImage } from './ram-image.ts';
import { discardRunDirectory, makeRunDirectory } from './run-directory.ts';
import { onceForEach, type Tried, withTrialMachine } from './trial.ts';
import { USERFAULTFD_HINT, whyNoUserfaultfd } from './userfaultfd.ts';

const MEMORY_BYTES = 8 * MIB;
const PAGE_BYTES = 4096;
/** Where the program writes nothing. */
const IMAGE_PAGES = { from: 0x1_0000, to: 0x9_0000 } as const;
/** How often a method has to be right. */
const TIMES = 3;
const TIMEOUT_MS = 20_000;
/** The first that is right is taken. `precopy` lets the machine write as it likes meanwhile. */
const METHODS: Readonly<Record<ResolvedProfile['accelerator'], readonly LiveMethod[]>> = {
  kvm: ['precopy', 'background-snapshot'],
  tcg: ['background-snapshot'],
};

type WhereRamLies = Pick<QemuProcess, 'profile' | 'files'>;

/** Which method was seen to be right; none where `method` is absent. */
export interface LiveVerdict {
  readonly method?: LiveMethod;
  /** What was seen of each, for people. */
  readonly because: string;
}

/**
 * Proves it for a machine's program and accelerator, and for where its RAM lies: below the directory that machines of its kind have theirs
 * in. The second time it knows. Throws `guest-start` when QEMU does not start.
 */
export function proveLiveOf(process: WhereRamLies): Promise<LiveVerdict> {
  const { trial, root } = trialOf(process);
  return trial(process.profile, root);
}

/** What was seen already; undefined before the first one is saved while it runs. */
export function knownLiveOf(process: WhereRamLies): LiveVerdict | undefined {
  const { trial, root } = trialOf(process);
  return trial.known(process.profile, root);
}

function trialOf({ profile: { ramImage }, files }: WhereRamLies) {
  const root = dirname(dirname(ramImage ?? files.ram));
  return { trial: ramImage === undefined ? proveLive : provePrivateLive, root };
}

/** Of machines whose RAM is a file that they write. */
export const proveLive = onceForEach((tried, root) => prove(tried, root, {}));

/** Of machines that stand on an image of RAM, and tell what they wrote. */
export const provePrivateLive = onceForEach(async (tried, root) => {
  const files = await makeRunDirectory('live-proof-image', root);
  try {
    await writeRamImage(files.ram, MEMORY_BYTES, imagePiece);
    return await prove(tried, root, { ramImage: files.ram });
  } finally {
    await discardRunDirectory(files);
  }
});

async function prove(
  { program, accelerator }: Tried,
  root: string | undefined,
  memory: { readonly ramImage?: string },
): Promise<LiveVerdict> {
  const rom = hardWriterRom(MEMORY_BYTES);
  const profile = { program, accelerator, memoryBytes: MEMORY_BYTES, ...memory };
  const seen: string[] = [];
  for (const method of METHODS[accelerator]) {
    // A machine each: what fails may leave one in no good state.
    const fault = await withTrialMachine('live-proof', rom, profile, root, async (process) => {
      const { ramImage: image } = memory;
      const stands =
        image === undefined ? {} : ({ ram: 'private', origin: { image, isAlone: true } } as const);
      const live = async () => ({ method, because: 'it is tried' });
      return faultOfMethod(await openQemuGuest(process, { live, ...stands }));
    });
    seen.push(`${method}: ${fault ?? 'each was one instant'}`);
    if (fault === undefined) return { method, because: seen.join('; ') };
  }
  const why = whyNoUserfaultfd();
  return {
    because: why === undefined ? seen.join('; ') : `${why}: ${USERFAULTFD_HINT} Tried: ${seen.join('; ')}`,
  };
}

async function faultOfMethod(guest: QemuGuest): Promise<string | undefined> {
  const memory = new Uint8Array(MEMORY_BYTES);
  const { origin } = guest.takeOrigin();
  try {
    await guest.start();
    for (let time = 0; time < TIMES; time++) {
      if (!(await goesOn(guest))) return 'the program did not run on';
      const told: PageTold = (_, page, bytes) => memory.set(bytes, page * PAGE_BYTES);
      // Where it has an image, the first is told as a whole, and of the others what it wrote.
      const isWhole = origin === undefined || time === 0;
      const suspects = isWhole ? undefined : [new PageSet(MEMORY_BYTES / PAGE_BYTES)];
      if (isWhole) memory.fill(0);
      else origin.read(0, 0, memory);
      const streamed = await guest.streamInstant(told, undefined, suspects);
      if ('reason' in streamed) return streamed.reason;
      const fault = hardWriterFault(memory);
      if (fault !== 'none') return `it was of no one instant (${fault})`;
      if (origin !== undefined && !holdsImage(memory)) return 'what it never wrote was not as in its image';
    }
    return undefined;
  } catch (error) {
    if (!isVitrineError(error)) throw error;
    return error.message;
  } finally {
    origin?.close();
  }
}

/** Memory that the program never writes says where it lies; all else is zeros at first. */
function imagePiece(offsetBytes: number, lengthBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(lengthBytes);
  for (let at = IMAGE_PAGES.from; at < IMAGE_PAGES.to; at += PAGE_BYTES) {
    if (at >= offsetBytes && at < offsetBytes + lengthBytes)
      bytes.fill(1 + at / PAGE_BYTES, at - offsetBytes, at - offsetBytes + PAGE_BYTES);
  }
  return bytes;
}

function holdsImage(memory: Uint8Array): boolean {
  const { from, to } = IMAGE_PAGES;
  return Buffer.compare(memory.subarray(from, to), imagePiece(0, to).subarray(from)) === 0;
}

/** Whether the program comes to write all its memory once more. */
async function goesOn(guest: QemuGuest): Promise<boolean> {
  const rounds = (): number => {
    const word = Buffer.alloc(4);
    guest.readTorn({ region: 0, offsetBytes: HARD_WRITER.rounds, lengthBytes: 4 }, word);
    return word.readUInt32LE();
  };
  const until = Date.now() + TIMEOUT_MS;
  const from = rounds();
  while (rounds() < from + 2) {
    if (Date.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return true;
}
