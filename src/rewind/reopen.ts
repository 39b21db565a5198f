// A history as it was stored, made what it was: the tree, where the guest is in it, and the records there, exactly.

import { VitrineError } from '../base/error.ts';
import type { Codecs } from '../codec/codec.ts';
import type { DeviceRecord } from '../guest/guest.ts';
import { composeRecords } from './arrival.ts';
import type { OpenedHistory } from './rewind-store.ts';
import { type Point, Timeline } from './timeline.ts';
import type { Units } from './units.ts';

export interface RebuiltHistory {
  readonly tree: Timeline;
  /** The anchor. */
  readonly head: Point;
  readonly devices: readonly DeviceRecord[];
}

/** Throws `format-range` for what is no tree, `codec-damaged`, `codec-unknown`. */
export function rebuildHistory(
  { index, records, deltas }: OpenedHistory,
  units: Units,
  codecs: Codecs,
): RebuiltHistory {
  const points = index.points.map(({ id, parent, atMs, wallMs, shape, label }) => {
    const found = index.shapes[shape];
    if (found === undefined)
      throw new VitrineError('format-range', { record: 'rewind index', field: 'shape', shape });
    return { id, parent, atMs, wallMs, label, shape: found, delta: deltas.get(id) ?? null };
  });
  const tree = Timeline.rebuild(points, index.nextId);
  const head = tree.find(index.anchorPoint);
  if (head === undefined) {
    throw new VitrineError('format-range', {
      record: 'rewind index',
      field: 'anchor',
      point: index.anchorPoint,
    });
  }
  return { tree, head, devices: composeRecords(records, head.shape, units, codecs) };
}
