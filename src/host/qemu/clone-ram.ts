// The RAM of a clone: what it wrote lies in its process, everything else in the image that it stands on, and is read there.
//
//   own page ─▶ /proc/PID/mem        the image's page ─▶ the image
//
// It is read so not for speed alone. A page of the image that is looked at through the process is mapped into it, and from then on
// it costs the kernel a look each time it tells which pages are the process's own: of 512 MiB that were read once, seven
// milliseconds a reset instead of one. A hole in the image would even take memory.
//
// That the kernel tells every page that was written is proven before (`page-map-proof.ts`): a page that it left out would be read
// from the image here, and no comparison could find it.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { VitrineError } from '../../base/error.ts';
import { PageSet } from '../../memory/page-set.ts';
import type { BlockContent } from './device-records.ts';
import type { ProcessRam, Ram } from './process-ram.ts';
import type { DeviceSection } from './stream/index.ts';

const PAGE_BYTES = 4096;

/** What a clone was made of. */
export interface CloneOrigin {
  /** The file that it maps privately as its RAM. */
  readonly image: string;
  /** Whether no other machine stands on it: then it is memory that this one takes. */
  readonly isAlone?: boolean;
}

/** What was loaded into a process. */
export interface LoadedState {
  readonly sections: readonly DeviceSection[];
  readonly blocks: readonly BlockContent[];
}

export class CloneRam implements Ram {
  readonly #process: ProcessRam;
  readonly imagePath: string;
  readonly #image: number;
  readonly #isAlone: boolean;
  /** Pages that were told once as the process's own, which they stay: they are read there without asking again. */
  readonly #own: PageSet;
  #isOpen = true;

  /** Takes the process's RAM over, and closes it with itself. Throws `guest-failed` when the image is not that machine's. */
  constructor(process: ProcessRam, { image: imagePath, isAlone = false }: CloneOrigin) {
    this.#process = process;
    this.imagePath = imagePath;
    this.#isAlone = isAlone;
    this.#own = new PageSet(Math.ceil(process.sizeBytes / PAGE_BYTES));
    try {
      this.#image = openSync(imagePath, 'r');
    } catch (cause) {
      throw new VitrineError('guest-failed', { file: imagePath }, { cause });
    }
    const { size } = fstatSync(this.#image);
    if (size === process.sizeBytes) return;
    closeSync(this.#image);
    throw new VitrineError('guest-failed', { file: imagePath, sizeBytes: size, expected: process.sizeBytes });
  }

  get sizeBytes(): number {
    return this.#process.sizeBytes;
  }

  get usedBytes(): number {
    return this.#process.usedBytes + (this.#isAlone ? fstatSync(this.#image).blocks * 512 : 0);
  }

  #readImage(offsetBytes: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const count = readSync(this.#image, into, done, into.length - done, offsetBytes + done);
      if (count === 0) throw new VitrineError('guest-failed', { reason: 'the RAM image became shorter' });
      done += count;
    }
  }

  /** Of a machine that runs: a page that becomes its own meanwhile may be read as it was before. */
  read(offsetBytes: number, into: Uint8Array): void {
    const { length } = into;
    if (length === 0) return;
    const firstPage = Math.floor(offsetBytes / PAGE_BYTES);
    const endPage = Math.ceil((offsetBytes + length) / PAGE_BYTES);
    if (this.#isOwn(firstPage, endPage)) {
      this.#process.read(offsetBytes, into);
      return;
    }
    const own = this.#process.writtenPages(firstPage * PAGE_BYTES, (endPage - firstPage) * PAGE_BYTES);
    for (let page = firstPage; page < endPage; ) {
      const isOwn = own.has(page - firstPage);
      let end = page + 1;
      while (end < endPage && own.has(end - firstPage) === isOwn) end++;
      const from = Math.max(page * PAGE_BYTES, offsetBytes);
      const to = Math.min(end * PAGE_BYTES, offsetBytes + length);
      const part = into.subarray(from - offsetBytes, to - offsetBytes);
      if (isOwn) this.#process.read(from, part);
      else this.#readImage(from, part);
      page = end;
    }
  }

  write(offsetBytes: number, from: Uint8Array): void {
    this.#process.write(offsetBytes, from);
  }

  writtenPages(offsetBytes: number, lengthBytes: number): PageSet {
    const own = this.#process.writtenPages(offsetBytes, lengthBytes);
    for (const page of own) this.#own.add(offsetBytes / PAGE_BYTES + page);
    return own;
  }

  /** Whether the process has a page for itself: it stays so. At any time. Throws `guest-lost`. */
  isWritten(page: number): boolean {
    if (this.#own.has(page)) return true;
    return this.writtenPages(page * PAGE_BYTES, PAGE_BYTES).size > 0;
  }

  /** What the image would take more if all of it were looked at in the process: its holes. */
  get untouchedBytes(): number {
    const { size, blocks } = fstatSync(this.#image);
    return size - blocks * 512;
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#image);
    this.#process.close();
  }

  #isOwn(firstPage: number, endPage: number): boolean {
    for (let page = firstPage; page < endPage; page++) if (!this.#own.has(page)) return false;
    return true;
  }
}
