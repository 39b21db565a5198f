// Sorts the pages of a stream: RAM's go on to whoever takes them, as pages of the guest's regions, but for those that it is known to
// hold already; other blocks are kept whole.

import { VitrineError } from '../../base/error.ts';
import type { PageTold } from '../../guest/guest.ts';
import type { RamRange } from './physmap.ts';
import { RAM_BLOCK } from './profile.ts';
import type { RamBlock } from './stream/index.ts';

const PAGE_BYTES = 4096;

/** Whether a page of a region was as it is known to be, at any instant before now: then it need not be told. */
export type KnownPage = (region: number, page: number) => boolean;

export class StreamedMemory {
  /** Contents of the blocks that are not RAM, by name. */
  readonly blocks: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly #ranges: readonly RamRange[];
  readonly #told: PageTold;
  readonly #isKnown: KnownPage | undefined;
  readonly #filled = new Uint8Array(PAGE_BYTES);
  /** By the stream's numbers: a block's bytes, or null for RAM. */
  #byIndex: readonly (Uint8Array | null)[] = [];
  readonly #ramBytes: number;
  #hasRam = false;

  /** `blockSizes` names the blocks beside RAM, with their lengths. */
  constructor(
    ranges: readonly RamRange[],
    blockSizes: ReadonlyMap<string, number>,
    told: PageTold,
    isKnown?: KnownPage,
  ) {
    this.#ranges = ranges;
    this.#told = told;
    this.#isKnown = isKnown;
    this.#ramBytes = ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.blocks = new Map([...blockSizes].map(([name, sizeBytes]) => [name, new Uint8Array(sizeBytes)]));
  }

  /** Throws `guest-failed` for a block that the machine did not have when it was opened, or of another length. */
  readonly onBlocks = (blocks: readonly RamBlock[]): void => {
    this.#byIndex = blocks.map(({ name, usedBytes }) => {
      if (name === RAM_BLOCK && usedBytes === this.#ramBytes) {
        this.#hasRam = true;
        return null;
      }
      const bytes = this.blocks.get(name);
      if (bytes?.length === usedBytes) return bytes;
      throw new VitrineError('guest-failed', { command: 'migrate', block: name, usedBytes });
    });
  };

  readonly onPage = (
    block: number,
    offset: number,
    content: Uint8Array | number,
  ): undefined | Promise<void> => {
    const bytes = this.#byIndex[block];
    if (bytes === undefined) return undefined;
    if (bytes !== null) {
      if (typeof content === 'number') bytes.fill(content, offset, offset + PAGE_BYTES);
      else bytes.set(content, offset);
      return undefined;
    }
    const region = this.#ranges.findIndex(
      ({ offsetBytes, sizeBytes }) => offset >= offsetBytes && offset < offsetBytes + sizeBytes,
    );
    const page = (offset - this.#ranges[region]!.offsetBytes) / PAGE_BYTES;
    if (this.#isKnown?.(region, page)) return undefined;
    const held = typeof content === 'number' ? this.#filled.fill(content) : content;
    return this.#told(region, page, held, content === 0) ?? undefined;
  };

  /** Throws `guest-failed` when the stream had no RAM. */
  requireRam(): void {
    if (!this.#hasRam) throw new VitrineError('guest-failed', { command: 'migrate', missing: RAM_BLOCK });
  }
}
