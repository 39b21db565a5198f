// Whether the kernel may have taken pages out of a process's page table, and with them what was noted of their being written.
//
// Of a private mapping nothing is lost: what is swapped out keeps its bit. But for KSM, which puts one page in the place of several
// and forgets that they were written. Of a shared one the page table is a cache; a page that is taken out of it and read again
// counts as not written. It is taken out
//
//   to be swapped out          the kernel counts pages that it looks at for that, before it does anything
//   to become part of a        not where the file system makes no huge pages, which is how it is mounted, and
//   huge page                  one setting for all
//
// All this is about the whole system, so that a witness says too often that something happened, and never too rarely. A page that
// was looked at in one interval may be taken out in the next one: so one interval is not enough to be quiet, there have to be
// seconds of it.

import { readFileSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import { mountOf } from './mapping.ts';
import type { MappingKind } from './page-map.ts';

/** How long the kernel may take from looking at a page to taking it out, with much to spare. */
const SETTLE_MS = 10_000;
const VMSTAT = '/proc/vmstat';
const HUGE_OF_ALL = '/sys/kernel/mm/transparent_hugepage/shmem_enabled';
const KSM = '/sys/kernel/mm/ksm/run';
/** Pages looked at to be swapped out, and pages that were, to a disk or compressed. The first is in kernels from 5.8 on. */
const SCANNED = 'pgscan_anon';
const COUNTERS = [SCANNED, 'pswpout', 'zswpout'];
const HUGE_OPTION = 'huge=';

/** What it reads; tests give their own. */
export interface KernelFacts {
  /** The text of a file of /proc or /sys; undefined where it is not. */
  text(path: string): string | undefined;
  mount(device: string): { readonly type: string; readonly options: readonly string[] } | undefined;
}

const KERNEL: KernelFacts = {
  text: (path) => {
    try {
      return readFileSync(path, 'latin1');
    } catch {
      return undefined;
    }
  },
  mount: mountOf,
};

/** A mapping of one kind, of a file system. */
export interface WitnessedMapping {
  readonly kind: MappingKind;
  /** As `MappedRange.device` has it. */
  readonly device: string;
}

export class UnmapWitness {
  readonly #mapping: WitnessedMapping;
  readonly #clock: Clock;
  readonly #kernel: KernelFacts;
  #counts: string | undefined;
  /** When it was last seen that pages were looked at. */
  #movedAtMs: number;
  /** Whether, at the last look, something may have been under way. */
  #wasUnsettled = true;

  constructor(mapping: WitnessedMapping, clock: Clock, kernel: KernelFacts = KERNEL) {
    this.#mapping = mapping;
    this.#clock = clock;
    this.#kernel = kernel;
    this.#movedAtMs = clock.nowMs();
  }

  /** Why pages of this mapping may be lost at any time, so that nothing can be known; undefined where it is not so. */
  hindrance(): string | undefined {
    return this.#mapping.kind === 'private' ? this.#mergedPages() : this.#hugePages();
  }

  /** Why pages may have been taken out since the last look; undefined when none were. The first look knows nothing. */
  look(): string | undefined {
    const hindrance = this.hindrance();
    if (hindrance !== undefined) {
      this.#wasUnsettled = true;
      return hindrance;
    }
    if (this.#mapping.kind === 'private') {
      const wasUnsettled = this.#wasUnsettled;
      this.#wasUnsettled = false;
      return wasUnsettled ? 'it was not looked at before' : undefined;
    }
    const nowMs = this.#clock.nowMs();
    const { counts, hasScanned } = countsIn(this.#kernel.text(VMSTAT) ?? '');
    const hasMoved = this.#counts !== undefined && this.#counts !== counts;
    if (hasMoved) this.#movedAtMs = nowMs;
    const isFirst = this.#counts === undefined;
    const wasUnsettled = this.#wasUnsettled;
    this.#counts = counts;
    // A system that never looked for pages to swap out has nothing under way.
    this.#wasUnsettled = hasScanned && nowMs - this.#movedAtMs < SETTLE_MS;
    if (isFirst) return 'it was not looked at before';
    return hasMoved || wasUnsettled ? 'the system swaps pages out' : undefined;
  }

  #mergedPages(): string | undefined {
    const run = this.#kernel.text(KSM)?.trim() ?? '0';
    return run === '0' ? undefined : 'the kernel merges pages that are alike (KSM)';
  }

  #hugePages(): string | undefined {
    if (!(this.#kernel.text(VMSTAT) ?? '').includes(`\n${SCANNED} `)) {
      return 'the kernel does not tell whether it swaps';
    }
    const { type, options } = this.#kernel.mount(this.#mapping.device) ?? { type: 'memfd', options: [] };
    const chosen = /\[(\w+)\]/.exec(this.#kernel.text(HUGE_OF_ALL) ?? '[never]')?.[1];
    if (chosen === 'deny') return undefined;
    if (type === 'memfd') {
      return chosen === 'never' ? undefined : `its memory may become huge pages (shmem_enabled ${chosen})`;
    }
    if (type !== 'tmpfs') return `its RAM is in a file system of type ${type}, whose pages come and go`;
    if (chosen === 'force') return 'its memory may become huge pages (shmem_enabled force)';
    const huge = options.find((option) => option.startsWith(HUGE_OPTION));
    return huge === undefined || huge === `${HUGE_OPTION}never`
      ? undefined
      : `its memory may become huge pages (mounted with ${huge})`;
  }
}

function countsIn(vmstat: string): { readonly counts: string; readonly hasScanned: boolean } {
  const lines = vmstat.split('\n').filter((line) => COUNTERS.includes(line.split(' ')[0]!));
  return { counts: lines.join('\n'), hasScanned: lines.some((line) => !line.endsWith(' 0')) };
}
