// Compares a machine's RAM with its mirror in threads while it is a file. A machine that moved (`quicken.ts`) has it in its process, where
// threads do not read: from then on this thread looks, which is seldom, since such a machine tells what it writes.

import type { PageSet } from '../../memory/page-set.ts';
import type { Mirror, PageSource } from '../../tracking/mirror.ts';
import type { MirrorScanner } from '../../tracking/mirror-scanner.ts';
import type { QemuGuest } from './qemu-guest.ts';
import { RamFile } from './ram-file.ts';

export class FileScanner implements MirrorScanner {
  readonly #guest: QemuGuest;
  readonly #mirror: Mirror;
  readonly #threads: MirrorScanner;

  /** Takes the threads over, and closes them with itself. */
  constructor(guest: QemuGuest, mirror: Mirror, threads: MirrorScanner) {
    this.#guest = guest;
    this.#mirror = mirror;
    this.#threads = threads;
  }

  async prepare(): Promise<void> {
    if (this.#isFile) await this.#threads.prepare();
  }

  async compare(differing: readonly PageSet[]): Promise<void> {
    if (this.#isFile) return this.#threads.compare(differing);
    for (const [region, pages] of differing.entries()) {
      for (const { first, count } of this.#mirror.chunks(region, null)) {
        await this.#mirror.compareRun(this.#guest, region, first, count, (page) => pages.add(page));
      }
    }
  }

  async take(taken: readonly PageSet[]): Promise<void> {
    if (this.#isFile) return this.#threads.take(taken);
    const readPages: PageSource['readPages'] = (span, into) => this.#guest.readTorn(span, into);
    const source = { view: () => undefined, readPages };
    for (const [region, pages] of taken.entries()) await this.#mirror.scan(source, region, null, pages);
  }

  close(): void {
    this.#threads.close();
  }

  get #isFile(): boolean {
    return this.#guest.ram instanceof RamFile;
  }
}
