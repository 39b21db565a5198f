// rewind-list: the points of a machine's recent past, oldest first, and how it is kept.

import * as v from 'valibot';
import { COUNT, LABEL, MACHINE_NAME, MS, SNAPSHOT_ID } from '../fields.ts';
import { isLookingBack } from '../looking-back.ts';
import { provided } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const rewindList = defineVerb({
  id: 39,
  name: 'rewind-list',
  permission: 'observe',
  effect: 'none',
  streams: { down: 'items', up: 'none' },
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: v.object({
    /** Whether points are being taken. */
    isOn: v.boolean(),
    everyMs: COUNT,
    budgetBytes: COUNT,
    /** As points come at the moment: `everyMs`, or more where saves cost much. */
    paceMs: MS,
    /** As the budget counts them. */
    bytes: COUNT,
    /** Times at which the machine rested or was busy. */
    skippedCount: COUNT,
    /** The code of what went wrong last. */
    failure: v.nullable(v.string()),
    /** Whether `rewind-seek` holds the machine at a point. Hosts of before it was told say no. */
    isHeld: v.optional(v.boolean(), false),
  }),
  item: v.object({
    snapshot: SNAPSHOT_ID,
    parent: v.nullable(SNAPSHOT_ID),
    atMs: COUNT,
    bytes: COUNT,
    bookmark: v.nullable(LABEL),
    /** Whether the machine goes on from it. */
    isHere: v.boolean(),
  }),
  async run(call, { machine: name }) {
    call.require(name);
    const recording = await provided(call.host.recordings, 'rewind').of(name);
    const machine = call.host.machine(name);
    const base = machine?.machine?.base ?? null;
    const points = await recording.points();
    await call.sendItems(points.map((point) => ({ ...point, isHere: point.snapshot === base })));
    const { bytes, paceMs, skippedCount, failure } = recording;
    const { isOn, everyMs, budgetBytes } = recording.book;
    const isHeld = machine !== undefined && isLookingBack(machine);
    return { isOn, everyMs, budgetBytes, paceMs, bytes, skippedCount, failure, isHeld };
  },
});
