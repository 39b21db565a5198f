// Which pages a process wrote since we asked last: soft-dirty bits, which Linux has with CONFIG_MEM_SOFT_DIRTY, as Debian's kernels
// for PCs do.
//
//   "4" to /proc/PID/clear_refs ─▶ all bits are off, and the first write to each page is noticed ─▶ bit 55 of /proc/PID/pagemap
//
// A kernel without them takes the "4" and does nothing. And the bits are the process's, not ours: whoever else clears them takes them
// from us. So after each clearing one page gets its first byte written again, as it is: the canary. While its bit is on, this
// kernel has such bits and nobody cleared them since. Besides, the kernel must not have taken pages out of the page table
// (`unmap-witness.ts`); what was in it and is no more says so, too. Where any of this is not so, nobody knows what was written,
// and the caller is told that: it looks at all pages, as without.
//
// Not seen are writes that do not go through the process: by `write` to its RAM file, which its owner notes (`ram-marks.ts`), and by
// another process that has mapped the file, as those of vhost-user. As long as it has a page mapped, that page is told each time.

import { closeSync, openSync, writeSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import { VitrineError } from '../../base/error.ts';
import type { PageSet } from '../../memory/page-set.ts';
import type { ProcessRam } from './process-ram.ts';
import { UnmapWitness, type WitnessedMapping } from './unmap-witness.ts';

const PAGE_BYTES = 4096;
const CLEAR_SOFT_DIRTY = '4';
/** The page that is written by us: the first one, where a PC has its interrupt table. */
const CANARY = 0;

/** What one look tells. */
export type SoftDirtyTake =
  | { readonly written: PageSet; readonly because?: undefined }
  /** Why nobody knows what was written. */
  | { readonly written: null; readonly because: string };

export class SoftDirty {
  readonly #ram: ProcessRam;
  readonly #mapping: WitnessedMapping;
  readonly #witness: UnmapWitness;
  readonly #clear: number;
  readonly #pid: number;
  /** What was in the page table at the last look. */
  #held: PageSet | undefined;

  private constructor(
    ram: ProcessRam,
    mapping: WitnessedMapping,
    witness: UnmapWitness,
    clear: number,
    pid: number,
  ) {
    this.#ram = ram;
    this.#mapping = mapping;
    this.#witness = witness;
    this.#clear = clear;
    this.#pid = pid;
  }

  /**
   * For RAM of a process at rest, which stays its owner's. Or why there is no knowing.
   */
  static open(pid: number, ram: ProcessRam, clock: Clock): SoftDirty | string {
    const { kind, device } = ram.mapped;
    if (kind === null || device === null) return 'its RAM is mapped in several ways';
    const mapping = { kind, device };
    const witness = new UnmapWitness(mapping, clock);
    const hindrance = witness.hindrance();
    if (hindrance !== undefined) return hindrance;
    let clear: number;
    try {
      clear = openSync(`/proc/${pid}/clear_refs`, 'w');
    } catch {
      return 'the right to clear the bits of its process is missing';
    }
    const opened = new SoftDirty(ram, mapping, witness, clear, pid);
    if (opened.#hasBits()) return opened;
    opened.close();
    return 'this kernel has no soft-dirty bits';
  }

  /** Pages written since the last look, in a set over all of RAM. The process is at rest. Throws `guest-lost`. */
  take(): SoftDirtyTake {
    const { written, held } = this.#ram.states(this.#mapping.kind);
    // After the pages were looked at, so that nothing can have happened to them unseen; before the bits are cleared, for the next look.
    const moved = this.#witness.look();
    const lost = this.#held?.clone();
    lost?.deleteAll(held);
    this.#held = held;
    const isAlive = this.#ram.isSoftDirty(CANARY * PAGE_BYTES);
    this.#beginEpoch();
    if (moved !== undefined) return { written: null, because: moved };
    if (lost === undefined) return { written: null, because: 'it was not looked at before' };
    if (!lost.isEmpty) return { written: null, because: 'pages were taken out of its page table' };
    if (!isAlive) return { written: null, because: 'others cleared the bits of its process' };
    return { written };
  }

  close(): void {
    closeSync(this.#clear);
  }

  /** Whether a bit goes off when it is cleared, and on when its page is written. */
  #hasBits(): boolean {
    this.#clearAll();
    const isOff = !this.#ram.isSoftDirty(CANARY * PAGE_BYTES);
    this.#writeCanary();
    return isOff && this.#ram.isSoftDirty(CANARY * PAGE_BYTES);
  }

  #beginEpoch(): void {
    this.#clearAll();
    this.#writeCanary();
    // Written by us, it is in the page table from now on.
    this.#held!.add(CANARY);
  }

  #writeCanary(): void {
    const byte = new Uint8Array(1);
    this.#ram.read(CANARY * PAGE_BYTES, byte);
    this.#ram.write(CANARY * PAGE_BYTES, byte);
  }

  #clearAll(): void {
    try {
      writeSync(this.#clear, CLEAR_SOFT_DIRTY);
    } catch (cause) {
      throw new VitrineError('guest-lost', { reason: 'its memory is gone', pid: this.#pid }, { cause });
    }
  }
}
