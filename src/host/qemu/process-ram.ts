// A machine's RAM where it lies in QEMU's own address space, by `/proc/PID/mem`: for RAM that is no file of its own, as in a
// machine that others started, or that is a private copy of one, as in a clone. It takes the right to look into the process:
// the same user where the kernel allows it (`kernel.yama.ptrace_scope` 0), or root.

import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { VitrineError } from '../../base/error.ts';
import type { PageSet } from '../../memory/page-set.ts';
import { type AddressRange, type MappedRange, mappedRange } from './mapping.ts';
import { type MappingKind, PageMap, type PageStates } from './page-map.ts';
import type { Qmp } from './qmp.ts';

/** What a guest's RAM is read and written through: `RamFile`, `CloneRam`, or this. */
export interface Ram {
  /** Memory of the host's that it takes for itself. */
  readonly usedBytes: number;
  read(offsetBytes: number, into: Uint8Array): void;
  write(offsetBytes: number, from: Uint8Array): void;
  /** The file that it was made of, where it is a private copy of one. */
  readonly imagePath?: string;
  /** What that file would take more if all of it were looked at in the process. */
  readonly untouchedBytes?: number;
  close(): void;
}

/**
 * Finds and opens a machine's RAM in its process.
 *
 * Throws `unsupported` when the process may not be looked into, `guest-failed` when its RAM is not where QEMU says.
 */
export async function openProcessRam(qmp: Qmp, pid: number, sizeBytes: number): Promise<ProcessRam> {
  const said = await qmp.execute('human-monitor-command', { 'command-line': 'gpa2hva 0x0' });
  const address = /\(pc\.ram\) is (0x[0-9a-f]+)/.exec(said)?.[1];
  if (address === undefined) throw new VitrineError('guest-failed', { reason: 'no pc.ram at 0', said });
  const range = { from: Number(address), to: Number(address) + sizeBytes };
  let descriptor: number;
  let pageMap: PageMap;
  let mapped: MappedRange;
  try {
    mapped = mappedRange(pid, range);
    pageMap = new PageMap(pid);
    descriptor = openSync(`/proc/${pid}/mem`, 'r+');
  } catch (cause) {
    if (cause instanceof VitrineError) throw cause;
    const missing =
      'the right to look into the process: the same user and kernel.yama.ptrace_scope 0, or root';
    throw new VitrineError('unsupported', { missing, pid }, { cause });
  }
  return new ProcessRam({ descriptor, pageMap, pid, range, mapped });
}

interface ProcessRamParts {
  readonly descriptor: number;
  readonly pageMap: PageMap;
  readonly pid: number;
  readonly range: AddressRange;
  readonly mapped: MappedRange;
}

export class ProcessRam implements Ram {
  /** What it is mapped from. */
  readonly mapped: MappedRange;
  readonly sizeBytes: number;
  readonly #descriptor: number;
  readonly #pageMap: PageMap;
  readonly #pid: number;
  readonly #from: number;
  #isOpen = true;

  constructor({ descriptor, pageMap, pid, range, mapped }: ProcessRamParts) {
    this.#descriptor = descriptor;
    this.#pageMap = pageMap;
    this.#pid = pid;
    this.#from = range.from;
    this.sizeBytes = range.to - range.from;
    this.mapped = mapped;
  }

  /** Pages that this process has for itself: what it wrote, where the rest is shared with other clones. */
  get usedBytes(): number {
    this.#requireOpen();
    return privateBytes(this.#pid, { from: this.#from, to: this.#from + this.sizeBytes });
  }

  /** Pages from an offset that it wrote at some time since it was started: never fewer. */
  writtenPages(offsetBytes: number, lengthBytes: number): PageSet {
    this.#requireOpen();
    return this.#pageMap.ownPages(this.#from + offsetBytes, lengthBytes);
  }

  /** What soft-dirty bits tell of all of it. Throws `guest-lost`. */
  states(kind: MappingKind): PageStates {
    this.#requireOpen();
    return this.#pageMap.states(this.#from, this.sizeBytes, kind);
  }

  /** Whether the soft-dirty bit of the page at an offset is on. Throws `guest-lost`. */
  isSoftDirty(offsetBytes: number): boolean {
    this.#requireOpen();
    return this.#pageMap.isSoftDirty(this.#from + offsetBytes);
  }

  read(offsetBytes: number, into: Uint8Array): void {
    this.#each(offsetBytes, into.length, (done, at) =>
      readSync(this.#descriptor, into, done, into.length - done, at),
    );
  }

  write(offsetBytes: number, from: Uint8Array): void {
    this.#each(offsetBytes, from.length, (done, at) =>
      writeSync(this.#descriptor, from, done, from.length - done, at),
    );
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#descriptor);
    this.#pageMap.close();
  }

  #each(offsetBytes: number, lengthBytes: number, move: (done: number, at: number) => number): void {
    this.#requireOpen();
    if (offsetBytes < 0 || offsetBytes + lengthBytes > this.sizeBytes) {
      throw new VitrineError('span-out-of-range', { offsetBytes, lengthBytes, sizeBytes: this.sizeBytes });
    }
    for (let done = 0; done < lengthBytes; ) {
      let count = 0;
      try {
        count = move(done, this.#from + offsetBytes + done);
      } catch (cause) {
        throw new VitrineError('guest-lost', { reason: 'its memory is gone', pid: this.#pid }, { cause });
      }
      // A process that has ended reads as empty.
      if (count === 0) throw new VitrineError('guest-lost', { reason: 'its memory is gone', pid: this.#pid });
      done += count;
    }
  }

  #requireOpen(): void {
    if (!this.#isOpen) throw new VitrineError('guest-closed');
  }
}

function privateBytes(pid: number, { from, to }: AddressRange): number {
  let isInside = false;
  let bytes = 0;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'latin1').split('\n')) {
    const mapping = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (mapping !== null) {
      const start = Number.parseInt(mapping[1]!, 16);
      isInside = start >= from && start < to;
    }
    // Written pages alone: one of a template that nobody else has read counts as private, but clean.
    const found = isInside ? /^Private_Dirty: +(\d+) kB/.exec(line) : null;
    if (found !== null) bytes += Number(found[1]) * 1024;
  }
  return bytes;
}
