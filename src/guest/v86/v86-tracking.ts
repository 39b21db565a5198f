// What a v86 guest knows of its writes: RAM and video memory by its rewritten program, disk images by their `set`. Marks of all, and
// one barrier over RAM and disks.
//
// Old pages of RAM wait in a ring in the program's memory; those of a disk image go to the sink at once, since what writes
// there is JavaScript that takes longer than the copy.

import { VitrineError } from '../../base/error.ts';
import type { BarrierPlace } from '../../memory/barrier-block.ts';
import { PageSet } from '../../memory/page-set.ts';
import { pageCountOf, type Region } from '../../memory/region.ts';
import type { Span } from '../../memory/span.ts';
import type { Barrier, BarrierOptions, RegionPageSink } from '../barrier.ts';
import { DirtyMarks } from '../dirty-marks.ts';
import type { DirtyTake, GuestTraits } from '../guest.ts';
import { PageBarrier } from '../page-barrier.ts';
import { followDiskWrites } from './disk-writes.ts';
import type { AttachedDisk } from './disks.ts';
import { RamBarrier } from './ram-barrier.ts';
import { programOf } from './tracked-wasm.ts';
import type { V86Cpu } from './v86-internals.ts';
import { VramMarks } from './vram-marks.ts';
import { WriteMarks } from './write-marks.ts';

/** The program is v86's with our hooks: proven on the first saves, which cost a scan each as without marks. */
const AUDIT_SCANS = 3;

export interface V86TrackingParts {
  readonly cpu: V86Cpu;
  readonly disks: readonly AttachedDisk[];
  readonly regions: readonly Region[];
  /** The bytes of a region in place. */
  readonly view: (region: number) => Uint8Array;
}

export class V86Tracking {
  readonly traits: Pick<GuestTraits, 'tracking' | 'trackingReason' | 'auditScans'>;
  readonly #parts: V86TrackingParts;
  readonly #ram: WriteMarks | undefined;
  readonly #vram: VramMarks | undefined;
  readonly #diskMarks: DirtyMarks | undefined;
  readonly #ignoreDisks: () => void;
  #barrier: V86Barrier | undefined;

  constructor(parts: V86TrackingParts, wanted: 'auto' | 'none') {
    const { cpu, disks, regions } = parts;
    this.#parts = parts;
    const marks = armMarks(cpu, wanted);
    this.#ram = marks instanceof WriteMarks ? marks : undefined;
    if (marks instanceof WriteMarks) {
      this.traits = { tracking: 'barrier', auditScans: AUDIT_SCANS };
      this.#vram = VramMarks.arm(cpu);
      this.#diskMarks = new DirtyMarks(regions);
      this.#ignoreDisks = followDiskWrites(disks, regions, (span) => this.beforeWrite(span));
    } else {
      this.traits = { tracking: 'none', trackingReason: marks.untracked };
      this.#ignoreDisks = () => {};
    }
  }

  take(): DirtyTake {
    const ram = this.#ram?.take();
    const vram = this.#vram?.take();
    const disks = this.#diskMarks?.take();
    let settled = false;
    return {
      pages: this.#parts.regions.map((region) => {
        if (isRam(region)) return ram ?? null;
        if (isVram(region)) return vram ?? null;
        return isDisk(region) ? (disks?.pages[region.id] ?? null) : null;
      }),
      commit: () => {
        settled = true;
        disks?.commit();
      },
      putBack: () => {
        if (!settled && ram !== undefined) this.#ram?.putBack(ram);
        if (!settled && vram !== undefined) this.#vram?.putBack(vram);
        settled = true;
        disks?.putBack();
      },
    };
  }

  /** JavaScript of ours or of v86 is about to write this span. */
  beforeWrite(span: Span): void {
    const region = this.#parts.regions[span.region];
    if (region === undefined) return;
    if (isRam(region)) {
      this.#ram?.before(span.offsetBytes, span.lengthBytes);
    } else if (isVram(region)) {
      this.#vram?.touch(span.offsetBytes, span.lengthBytes);
    } else if (isDisk(region)) {
      this.#diskMarks?.mark(span);
      this.#barrier?.beforeDiskWrite(span);
    }
  }

  /** Throws `unsupported`, `wrong-state` while one is open, `memory-exhausted`. */
  openBarrier(options: BarrierOptions): Barrier {
    if (this.#ram === undefined) throw new VitrineError('unsupported', { missing: 'marks' });
    if (this.#barrier !== undefined) {
      throw new VitrineError('wrong-state', { actual: 'a barrier is open', required: 'none' });
    }
    const ram = this.#parts.regions.find(isRam)!;
    const ramBarrier = new RamBarrier(this.#parts.cpu, this.#ram.exports, ram, options);
    this.#barrier = new V86Barrier(this.#parts, ram, ramBarrier, options, () => {
      this.#barrier = undefined;
    });
    return this.#barrier;
  }

  /** The emulator gets its functions and memory back. */
  remove(): void {
    this.#barrier?.close();
    this.#ignoreDisks();
    this.#vram?.remove();
    this.#ram?.remove();
  }
}

class V86Barrier implements Barrier {
  readonly covers: readonly boolean[];
  readonly places: readonly (BarrierPlace | undefined)[];
  readonly #parts: V86TrackingParts;
  readonly #ramRegion: Region;
  readonly #ram: RamBarrier;
  readonly #disks: PageBarrier;
  readonly #onClose: () => void;
  #sink: RegionPageSink | undefined;

  constructor(
    parts: V86TrackingParts,
    ramRegion: Region,
    ram: RamBarrier,
    options: BarrierOptions,
    onClose: () => void,
  ) {
    const { regions, view } = parts;
    this.#parts = parts;
    this.#ramRegion = ramRegion;
    this.#ram = ram;
    this.#onClose = onClose;
    this.covers = regions.map((region) => isRam(region) || isDisk(region));
    // Disk images are no shared memory: a saver in another thread reads them while the machine rests.
    this.places = regions.map((region) => (isRam(region) ? ram.place : undefined));
    this.#disks = new PageBarrier(
      { regions, view, covers: regions.map(isDisk) },
      { ...options, ringBytes: 0 },
    );
  }

  get ringBytes(): number {
    return this.#ram.ringBytes;
  }

  beforeDiskWrite(span: Span): void {
    this.#disks.beforeWrite(span);
  }

  arm(awaited: readonly PageSet[], sink: RegionPageSink): void {
    this.#disks.arm(awaited, sink);
    this.#ram.arm(awaited[this.#ramRegion.id] ?? new PageSet(pageCountOf(this.#ramRegion)), sink);
    this.#sink = sink;
  }

  view(region: number): Uint8Array {
    return this.#parts.view(region);
  }

  release(region: number, page: number): boolean {
    return region === this.#ramRegion.id ? this.#ram.release(page) : this.#disks.release(region, page);
  }

  drain(maxPages: number): number {
    return this.#sink === undefined ? 0 : this.#ram.drain(maxPages, this.#sink);
  }

  figures() {
    const [ram, disks] = [this.#ram.figures(), this.#disks.figures()];
    return {
      copiedAside: ram.copiedAside + disks.copiedAside,
      spilled: ram.spilled + disks.spilled,
      peakRingBytes: ram.peakRingBytes,
      longestStallMs: Math.max(ram.longestStallMs, disks.longestStallMs),
      totalStallMs: ram.totalStallMs + disks.totalStallMs,
    };
  }

  close(): void {
    this.#sink = undefined;
    this.#ram.close();
    this.#disks.close();
    this.#onClose();
  }
}

const isRam = ({ name }: Region): boolean => name === 'ram';
const isVram = ({ name }: Region): boolean => name === 'vga.vram';
const isDisk = ({ kind }: Region): boolean => kind === 'disk';

function armMarks(cpu: V86Cpu, tracking: 'auto' | 'none'): WriteMarks | { readonly untracked: string } {
  if (tracking === 'none') return { untracked: 'not wanted' };
  const marks = WriteMarks.arm(cpu);
  if (marks instanceof WriteMarks) return marks;
  return { untracked: programOf(cpu.wm.exports)?.untracked ?? marks.untracked };
}
