// A guest made of an emulator in plain JavaScript that knows nothing of snapshots: its large arrays become regions, all the
// rest is the record `graph`, taken by walking its objects.

import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import {
  type CooperatingOptions,
  type CooperatingRegion,
  type Cooperation,
  cooperatingGuest,
} from '../cooperating.ts';
import type { DeviceRecord, MachineDescription } from '../guest.ts';
import { ObjectGraph } from './object-graph.ts';

const RECORD_NAME = 'graph';

export interface ObjectGraphOptions extends Omit<CooperatingOptions, 'devices' | 'machine'> {
  /** The object that leads to all others: the machine, or `{ cpu, timers }`. It has not run yet. */
  readonly root: object;
  /** As for any guest; the digest of the objects is added to its configuration. */
  readonly machine: MachineDescription;
  /**
   * Places that belong to the host: listeners, loggers, handles of timers. They are neither saved nor changed. `*` stands
   * for one step: `uart.*.onByte`.
   */
  readonly wiring?: readonly string[];
  /** Classes of which the first object is made only while it runs. */
  readonly classes?: readonly (abstract new (
    ...args: never[]
  ) => object)[];
}

/** A guest, what its author calls, and its graph. */
export interface ObjectGraphCooperation extends Cooperation {
  readonly graph: ObjectGraph;
  /** The first place in which two lists of this guest's device records differ: for `verifyRoundTrip`. */
  nameDifference(a: readonly DeviceRecord[], b: readonly DeviceRecord[]): string | undefined;
}

/**
 * Makes a guest of an emulator in plain JavaScript. Every instance that snapshots should go into is made in the same way.
 *
 * Throws `unsupported` with the path of what cannot be saved; `argument-invalid` as `cooperatingGuest` does, and when regions
 * leave a part of their buffer out, since nobody would save it.
 */
export function objectGraphGuest(options: ObjectGraphOptions): ObjectGraphCooperation {
  const { root, wiring, classes, machine, ...rest } = options;
  const graph = new ObjectGraph(root, {
    regionBuffers: wholeBuffersOf(options.regions),
    ...(wiring && { wiring }),
    ...(classes && { classes }),
  });
  const described = { ...machine, config: { ...machine.config, graph: graph.digest } };
  const cooperation = cooperatingGuest({
    ...rest,
    machine: described,
    devices: { [RECORD_NAME]: graph },
  });
  return {
    ...cooperation,
    graph,
    nameDifference: (a, b) => graph.difference(graphRecordOf(a), graphRecordOf(b)),
  };
}

function wholeBuffersOf(regions: readonly CooperatingRegion[]): ArrayBufferLike[] {
  const covered = new Map<ArrayBufferLike, number>();
  for (const { bytes } of regions) {
    covered.set(bytes.buffer, (covered.get(bytes.buffer) ?? 0) + bytes.length);
  }
  for (const { name, bytes } of regions) {
    const leftOutBytes = bytes.buffer.byteLength - covered.get(bytes.buffer)!;
    if (leftOutBytes !== 0)
      throw new VitrineError('argument-invalid', { name: 'regions', region: name, leftOutBytes });
  }
  return [...covered.keys()];
}

function graphRecordOf(records: readonly DeviceRecord[]): OwnedBytes {
  return records.find(({ name }) => name === RECORD_NAME)?.bytes ?? new Uint8Array(0);
}
