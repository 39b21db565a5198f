// Writes to disk images that v86 holds in memory: all of them pass `set` of the image, so that its pages can be marked and
// copied aside like RAM's.

import type { Region } from '../../memory/region.ts';
import type { Span } from '../../memory/span.ts';
import type { AttachedDisk } from './disks.ts';

/** Hears of a span before it is written. */
export type BeforeWrite = (span: Span) => void;

/** Tells of the writes to every image that is a region, until the returned function is called. */
export function followDiskWrites(
  disks: readonly AttachedDisk[],
  regions: readonly Region[],
  before: BeforeWrite,
): () => void {
  const undo = disks.map(({ name, disk }) => {
    const region = regions.find((one) => one.name === `disk.${name}`);
    if (region === undefined) return () => {};
    const { id, sizeBytes } = region;
    const image = disk as unknown as WritableImage;
    const { set, set_state } = image;
    image.set = function (start, bytes, done) {
      const lengthBytes = Math.min(bytes.byteLength, sizeBytes - start);
      if (lengthBytes > 0) before({ region: id, offsetBytes: start, lengthBytes });
      set.call(this, start, bytes, done);
    };
    // v86's own restore puts a new image in the place of the old one.
    image.set_state = function (state) {
      before({ region: id, offsetBytes: 0, lengthBytes: sizeBytes });
      set_state.call(this, state);
    };
    return () => {
      // Deleting uncovers the functions of v86's prototype.
      const own = image as Partial<WritableImage>;
      delete own.set;
      delete own.set_state;
    };
  });
  return () => {
    for (const one of undo) one();
  };
}

interface WritableImage {
  set(start: number, bytes: Uint8Array, done: () => void): void;
  set_state(state: unknown[]): void;
}
