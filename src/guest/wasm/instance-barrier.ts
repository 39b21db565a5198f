// The barrier of an instrumented program: it calls before its first write to each page, in the middle of its work, and the
// page is copied aside then. Guest and saver share a thread, so nothing else runs meanwhile.

import type { PageSet } from '../../memory/page-set.ts';
import type { BarrierOptions, RegionPageSink } from '../barrier.ts';
import type { DirtyMarks } from '../dirty-marks.ts';
import { PageBarrier, type PageBarrierParts } from '../page-barrier.ts';
import type { MarkedMemory } from './marked-memory.ts';

/** Of the one region that a program has. */
const REGION = 0;

export class InstanceBarrier extends PageBarrier {
  readonly #marked: MarkedMemory;
  readonly #marks: DirtyMarks;

  constructor(
    parts: PageBarrierParts & { readonly marked: MarkedMemory; readonly marks: DirtyMarks },
    options: BarrierOptions,
  ) {
    const onClose = (): void => {
      parts.marked.disarm();
      parts.onClose?.();
    };
    super({ ...parts, onClose }, options);
    this.#marked = parts.marked;
    this.#marks = parts.marks;
  }

  override arm(awaited: readonly PageSet[], sink: RegionPageSink): void {
    super.arm(awaited, sink);
    const { pageBytes } = this.#marked.layout;
    // Marks and barrier are one map: arming it forgets the marks.
    this.#marked.moveTo(this.#marks, REGION);
    this.#marked.arm((page) =>
      this.beforeWrite({ region: REGION, offsetBytes: page * pageBytes, lengthBytes: pageBytes }),
    );
  }
}
