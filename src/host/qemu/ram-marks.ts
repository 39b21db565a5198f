// What is known of the pages that a machine wrote, by where its RAM lies: the best source that is there.
//
//   a clone of ours       pages that are no longer its image's: proven with Pulse, since it is also read by them
//   any other process     soft-dirty bits, where the kernel has them and nothing in the system spoils them
//   of others             pages that are its own, where it has no such bits
//
// Whatever the source, a page that was written is told: where that cannot be, all pages are, or the machine counts as one
// that cannot tell.

import { type Clock, SYSTEM_CLOCK } from '../../base/clock.ts';
import { isVitrineError } from '../../base/error.ts';
import type { DirtyTake, GuestTraits } from '../../guest/guest.ts';
import { PageSet } from '../../memory/page-set.ts';
import { CloneRam } from './clone-ram.ts';
import type { QemuHost } from './guest-options.ts';
import type { RamRange } from './physmap.ts';
import { openProcessRam, ProcessRam, type Ram } from './process-ram.ts';
import { hasDiscarding } from './profile.ts';
import { RamFile } from './ram-file.ts';
import type { Verdict } from './self-test.ts';
import { SoftDirty } from './soft-dirty.ts';
import type { KnownPage } from './streamed-memory.ts';

const PAGE_BYTES = 4096;
/** What the kernel tells is tried like marks that others put in: the first scans compare. */
const AUDIT_SCANS = 2;
const OF_HOLES = 'its balloon gives pages back that nobody wrote';
const OF_MONITOR = 'its RAM comes out of states that QEMU writes';

/** Marks of one machine. */
export interface RamMarks {
  readonly traits: Pick<GuestTraits, 'tracking' | 'trackingReason' | 'trackingSource' | 'auditScans'>;
  /** What was written since the last take. The machine is at rest. Throws `guest-lost`. */
  take(): DirtyTake;
  /** Whoever takes has the rest from what the machine was made of, and need not be told of all pages at first. */
  knowOrigin?(): void;
  /**
   * Whether all is known of a page that it has not written, at any instant before this one: it is as it was when its marks were
   * taken. At any time, and nothing is taken; undefined while not everything was looked at. Throws `guest-lost`.
   */
  readonly isUnwritten?: KnownPage | undefined;
  /** We wrote, where its process does not see it. */
  wrote(offsetBytes: number, lengthBytes: number): void;
  close(): void;
}

export interface RamMarksOptions {
  readonly ranges: readonly RamRange[];
  /** Its devices, by name. */
  readonly devices: readonly string[];
  /** What was seen of soft-dirty bits with this QEMU; they are tried when left out. */
  readonly proof?: Verdict | undefined;
  readonly clock?: Clock;
}

/** Of a machine at rest, with this RAM, which stays its owner's. */
export async function openRamMarks(
  { qmp, pid }: Pick<QemuHost, 'qmp' | 'pid'>,
  ram: Ram,
  { ranges, devices, proof, clock = SYSTEM_CLOCK }: RamMarksOptions,
): Promise<RamMarks> {
  if (hasDiscarding(devices)) return new NoMarks(ranges, OF_HOLES);
  if (ram instanceof CloneRam) return new OwnPages(ram, ranges);
  if (ram instanceof ProcessRam) {
    const bits = proof?.works === false ? proof.because : SoftDirty.open(pid, ram, clock);
    if (typeof bits !== 'string') return new SoftDirtyMarks(bits, ranges);
    // What is mapped shared is never a process's own.
    if (ram.mapped.kind !== 'private') return new NoMarks(ranges, bits);
    return new OwnPages(ram, ranges, AUDIT_SCANS);
  }
  if (!(ram instanceof RamFile)) return new NoMarks(ranges, OF_MONITOR);
  if (proof?.works === false) return new NoMarks(ranges, ofFile(proof.because));
  let process: ProcessRam;
  try {
    process = await openProcessRam(qmp, pid, sizeOf(ranges));
  } catch (error) {
    if (!isVitrineError(error, 'unsupported') && !isVitrineError(error, 'guest-failed')) throw error;
    return new NoMarks(ranges, ofFile(error.message));
  }
  const bits = SoftDirty.open(pid, process, clock);
  if (typeof bits !== 'string') return new SoftDirtyMarks(bits, ranges, process);
  process.close();
  return new NoMarks(ranges, ofFile(bits));
}

class NoMarks implements RamMarks {
  readonly traits;
  readonly #ranges: readonly RamRange[];

  constructor(ranges: readonly RamRange[], trackingReason: string) {
    this.#ranges = ranges;
    this.traits = { tracking: 'none', trackingReason } as const;
  }

  take(): DirtyTake {
    return { pages: this.#ranges.map(() => null), commit: () => {}, putBack: () => {} };
  }

  wrote(): void {}

  close(): void {}
}

/** What was written once is told each time, so there is nothing to put back. */
class OwnPages implements RamMarks {
  readonly traits;
  readonly #ram: CloneRam | ProcessRam;
  readonly #ranges: readonly RamRange[];
  /** Whether all pages were looked at once; from then on those that it never wrote are as they were. */
  #isSeen = false;

  constructor(ram: CloneRam | ProcessRam, ranges: readonly RamRange[], auditScans?: number) {
    this.#ram = ram;
    this.#ranges = ranges;
    const trackingSource = 'the kernel tells which pages are no longer shared';
    this.traits = {
      tracking: 'marks',
      trackingSource,
      ...(auditScans === undefined ? {} : { auditScans }),
    } as const;
  }

  take(): DirtyTake {
    const pages = this.#ranges.map(({ offsetBytes, sizeBytes }) =>
      this.#isSeen ? this.#ram.writtenPages(offsetBytes, sizeBytes) : null,
    );
    const commit = (): void => {
      this.#isSeen = true;
    };
    return { pages, commit, putBack: () => {} };
  }

  knowOrigin(): void {
    this.#isSeen = true;
  }

  get isUnwritten(): KnownPage | undefined {
    if (!this.#isSeen || !(this.#ram instanceof CloneRam)) return undefined;
    const ram = this.#ram;
    // What was told as its own once stays so.
    return (region, page) => !ram.isWritten(this.#ranges[region]!.offsetBytes / PAGE_BYTES + page);
  }

  wrote(): void {}

  close(): void {}
}

/** Soft-dirty bits, and what we wrote ourselves, which they do not show. */
export class SoftDirtyMarks implements RamMarks {
  readonly #bits: Pick<SoftDirty, 'take' | 'close'>;
  readonly #ranges: readonly RamRange[];
  readonly #process: ProcessRam | undefined;
  /** What we wrote since the last take, and what was put back. */
  readonly #own: PageSet;
  /** Whether all pages were put back, or none was ever looked at. */
  #isAll = true;
  /** Why the last take could not tell, but for the first one, which never can. */
  #because: string | undefined;
  #hasTaken = false;

  /** Closes `process` with itself. */
  constructor(bits: Pick<SoftDirty, 'take' | 'close'>, ranges: readonly RamRange[], process?: ProcessRam) {
    this.#bits = bits;
    this.#ranges = ranges;
    this.#process = process;
    this.#own = new PageSet(Math.ceil(sizeOf(ranges) / PAGE_BYTES));
  }

  get traits() {
    const source = 'the kernel tells what was written, by soft-dirty bits';
    const trackingSource =
      this.#because === undefined ? source : `${source}; all was compared last time: ${this.#because}`;
    return { tracking: 'marks', trackingSource, auditScans: AUDIT_SCANS } as const;
  }

  take(): DirtyTake {
    const { written, because } = this.#bits.take();
    this.#because = this.#hasTaken ? because : undefined;
    this.#hasTaken = true;
    const isAll = this.#isAll || written === null;
    const told = this.#own.clone();
    if (written !== null) told.addAll(written);
    this.#own.clear();
    this.#isAll = false;
    const pages = this.#ranges.map(({ offsetBytes, sizeBytes }) =>
      isAll ? null : partOf(told, offsetBytes / PAGE_BYTES, Math.ceil(sizeBytes / PAGE_BYTES)),
    );
    const putBack = (): void => {
      this.#own.addAll(told);
      this.#isAll ||= isAll;
    };
    return { pages, commit: () => {}, putBack };
  }

  wrote(offsetBytes: number, lengthBytes: number): void {
    const end = Math.ceil((offsetBytes + lengthBytes) / PAGE_BYTES);
    for (let page = Math.floor(offsetBytes / PAGE_BYTES); page < end; page++) this.#own.add(page);
  }

  close(): void {
    this.#bits.close();
    this.#process?.close();
  }
}

/** The pages of a set from `first` on, as a set of their own. */
export function partOf(pages: PageSet, first: number, count: number): PageSet {
  const part = new PageSet(count);
  if (first % 32 === 0) {
    part.words.set(pages.words.subarray(first / 32, first / 32 + part.words.length));
    const rest = count % 32;
    // Pages of the next range may be in the last word.
    if (rest !== 0) part.words[part.words.length - 1]! &= 2 ** rest - 1;
    return part;
  }
  for (let page = 0; page < count; page++) if (pages.has(first + page)) part.add(page);
  return part;
}

function sizeOf(ranges: readonly RamRange[]): number {
  return Math.max(...ranges.map(({ offsetBytes, sizeBytes }) => offsetBytes + sizeBytes));
}

/** What a trial saw of another machine with such RAM says so already. */
function ofFile(reason: string): string {
  const isFile = 'its RAM is a file that it shares with us';
  return reason.startsWith(isFile) ? reason : `${isFile}, and ${reason}`;
}
