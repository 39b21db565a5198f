// What the takes of a machine's marks told, beside what was true: all of RAM, compared each time.

import type { DirtyTake } from '../../../src/guest/guest.ts';
import type { QemuMachine } from '../../../src/host/qemu/qemu-machine.ts';

const PAGE_BYTES = 4096;

export class Oracle {
  takes = 0;
  /** Takes that could not tell. */
  unknown = 0;
  told = 0;
  differing = 0;
  /** Pages that differed and were not told: there must be none. */
  missed = 0;
  #before: Buffer | undefined;

  /** Watches every take of a machine from now on. */
  constructor({ guest }: QemuMachine) {
    const take = guest.takeDirty.bind(guest);
    guest.takeDirty = (): DirtyTake => {
      const taken = take();
      const now = Buffer.alloc(guest.regions[0]!.sizeBytes);
      guest.readPages({ region: 0, offsetBytes: 0, lengthBytes: now.length }, now);
      if (this.#before !== undefined) this.#compare(taken, this.#before, now);
      this.#before = now;
      return taken;
    };
  }

  #compare({ pages: [told] }: DirtyTake, before: Buffer, now: Buffer): void {
    this.takes++;
    if (told === null || told === undefined) {
      this.unknown++;
      return;
    }
    this.told += told.size;
    for (let page = 0; page < told.pageCount; page++) {
      const [from, to] = [page * PAGE_BYTES, (page + 1) * PAGE_BYTES];
      if (now.compare(before, from, to, from, to) === 0) continue;
      this.differing++;
      if (!told.has(page)) this.missed++;
    }
  }
}
