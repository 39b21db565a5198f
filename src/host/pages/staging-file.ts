// Where pages wait to be put into a machine: a file beside its RAM, in memory that is not this process's. It has no name, so
// nothing is left behind whatever happens, and takes room for the pages that are in it alone.

import { closeSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import { pageCountOf, type Region } from '../../memory/region.ts';
import type { StagingArea } from '../../tracking/digest-scanner.ts';
import { PAGE_BYTES } from './scan-memory.ts';

export class StagingFile implements StagingArea {
  readonly #path: string;
  readonly #firstPages: readonly number[];
  #file: number | undefined;

  /** In `directory`, for pages of these regions. There is no file before the first page. */
  constructor(directory: string, regions: readonly Region[]) {
    this.#path = join(directory, 'staged');
    let pages = 0;
    this.#firstPages = regions.map((region) => {
      const first = pages;
      pages += pageCountOf(region);
      return first;
    });
  }

  write(region: number, page: number, bytes: Uint8Array): void {
    this.#file ??= openNameless(this.#path);
    const at = this.#placeOf(region, page);
    try {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#file, bytes, done, bytes.length - done, at + done);
      }
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOSPC') throw cause;
      throw new VitrineError('memory-exhausted', { bytes: bytes.length }, { cause });
    }
  }

  read(region: number, page: number, into: Uint8Array): void {
    const at = this.#placeOf(region, page);
    for (let done = 0; done < into.length; ) {
      const count = readSync(this.#file!, into, done, into.length - done, at + done);
      if (count === 0) throw new VitrineError('internal', { reason: 'a page that was not staged is read' });
      done += count;
    }
  }

  clear(): void {
    if (this.#file === undefined) return;
    ftruncateSync(this.#file, 0);
    closeSync(this.#file);
    this.#file = undefined;
  }

  #placeOf(region: number, page: number): number {
    return (this.#firstPages[region]! + page) * PAGE_BYTES;
  }
}

function openNameless(path: string): number {
  const file = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  return file;
}
