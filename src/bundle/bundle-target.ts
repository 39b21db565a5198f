// A bundle as a place where a snapshot goes: all of it is sent, since a file has nothing to start with.

import type { OwnedBytes } from '../base/bytes.ts';
import type { SnapshotReceiver } from '../engine/transfer.ts';
import { encodeBundleEnd, encodeBundleOpening, encodeBundlePack } from '../format/bundle.ts';

/** Takes bytes of a file, in order, all of them; resolves, to whatever it likes, when there is room for more. */
export type WriteBytes = (bytes: OwnedBytes) => Promise<unknown>;

/**
 * A target for `sync` that writes a bundle. It holds one pack at a time.
 *
 * What was written is a snapshot only when `sync` has resolved; on failure it is the caller's to remove.
 *
 * @example await sync(vitrine, bundleTarget((bytes) => file.writeFile(bytes)), id, { effort: 'balanced' });
 */
export function bundleTarget(write: WriteBytes) {
  return {
    async receive<Result>(
      _machine: string,
      work: (receiver: SnapshotReceiver) => Promise<Result>,
    ): Promise<Result> {
      await write(encodeBundleOpening());
      return work(new BundleReceiver(write));
    },
  };
}

class BundleReceiver implements SnapshotReceiver<void> {
  readonly #write: WriteBytes;
  #packCount = 0;

  constructor(write: WriteBytes) {
    this.#write = write;
  }

  async known(): Promise<readonly string[]> {
    return [];
  }

  async missing(digests: OwnedBytes): Promise<readonly boolean[]> {
    return new Array<boolean>(digests.length / 32).fill(true);
  }

  async putPack(pack: OwnedBytes): Promise<void> {
    this.#packCount++;
    for (const part of encodeBundlePack(pack)) await this.#write(part);
  }

  async finish(manifest: OwnedBytes): Promise<void> {
    for (const part of encodeBundleEnd(this.#packCount, manifest)) await this.#write(part);
  }
}
