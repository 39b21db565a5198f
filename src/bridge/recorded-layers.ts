// Layers of disks that the points of a recording stand on. Their room counts in its budget as that of snapshots does: all but what the
// oldest point needs. A chain has the layers of all before it, so what a point of the middle alone told apart comes back when layers are
// merged, and what the oldest has when it goes.

import { isVitrineError } from '../base/error.ts';
import type { SnapshotId } from '../engine/snapshot.ts';
import type { PastPoint } from './recording-book.ts';

/** A file that a snapshot stands on, beside the store. */
export interface SnapshotLayer {
  readonly path: string;
  readonly bytes: number;
}

/** The layers of a snapshot's disks, as they are read now, without what they began as. Throws what reading the store throws. */
export type ReadLayers = (snapshot: SnapshotId) => Promise<readonly SnapshotLayer[]>;

export class RecordedLayers {
  readonly #read: ReadLayers | undefined;
  /** By point. Files that many points stand on are there once. */
  #known = new Map<SnapshotId, readonly SnapshotLayer[]>();
  #files = new Map<string, SnapshotLayer>();

  /** Without disks, nothing has any. */
  constructor(read: ReadLayers | undefined) {
    this.#read = read;
  }

  /** What counts of the points, oldest first: all that they stand on but the oldest one's own. */
  async pastBytes(points: readonly PastPoint[]): Promise<number> {
    if (this.#read === undefined) return 0;
    const [oldest, ...rest] = points;
    const counted = new Set(oldest === undefined ? [] : await this.#layersOf(oldest.snapshot));
    let bytes = 0;
    for (const { snapshot } of rest) {
      for (const layer of await this.#layersOf(snapshot)) {
        if (counted.has(layer)) continue;
        counted.add(layer);
        bytes += layer.bytes;
      }
    }
    for (const snapshot of this.#known.keys()) {
      if (!points.some((point) => point.snapshot === snapshot)) this.#known.delete(snapshot);
    }
    return bytes;
  }

  /** What a point stands on and `parent`, which it was saved after, does not. */
  async ownBytes({ snapshot, parent }: PastPoint): Promise<number> {
    const before = new Set(parent === null ? [] : await this.#layersOf(parent));
    const own = (await this.#layersOf(snapshot)).filter((layer) => !before.has(layer));
    return own.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Layers were merged: all is read again. */
  forget(): void {
    this.#known = new Map();
    this.#files = new Map();
  }

  async #layersOf(snapshot: SnapshotId): Promise<readonly SnapshotLayer[]> {
    const known = this.#known.get(snapshot);
    if (known !== undefined || this.#read === undefined) return known ?? [];
    let read: readonly SnapshotLayer[] = [];
    try {
      read = await this.#read(snapshot);
    } catch (error) {
      // One that is gone, or cannot be read, needs none: what others need counts with them.
      if (!isVitrineError(error)) throw error;
    }
    const layers = read.map((layer) => {
      const file = this.#files.get(layer.path) ?? layer;
      this.#files.set(layer.path, file);
      return file;
    });
    this.#known.set(snapshot, layers);
    return layers;
  }
}
