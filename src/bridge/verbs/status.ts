// status: one machine in full: what it is, its regions, how it is tracked, and what the host knows of it.

import * as v from 'valibot';
import { BELL_EVENT, COUNT, MACHINE_NAME, SNAPSHOT_ID } from '../fields.ts';
import { defineVerb } from '../verb.ts';

export const status = defineVerb({
  id: 3,
  name: 'status',
  permission: 'observe',
  effect: 'none',
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: v.object({
    name: MACHINE_NAME,
    state: v.picklist(['running', 'paused', 'stopped', 'lost']),
    base: v.nullable(SNAPSHOT_ID),
    /** Where it was when it was last saved or restored, also by another process. */
    head: v.nullable(SNAPSHOT_ID),
    /** Null while it does not run. */
    description: v.nullable(
      v.object({
        kind: v.string(),
        version: v.string(),
        architecture: v.string(),
        tracking: v.string(),
        tier: v.string(),
        tierReason: v.nullable(v.string()),
        regions: v.array(
          v.object({
            name: v.string(),
            kind: v.string(),
            guestAddress: v.nullable(COUNT),
            sizeBytes: COUNT,
            pageBytes: COUNT,
          }),
        ),
      }),
    ),
    /** What its guest asked for last; null where it never did. */
    lastBell: v.optional(v.nullable(BELL_EVENT)),
    facts: v.record(v.string(), v.union([v.string(), v.number(), v.boolean(), v.null()])),
  }),
  async run(call, { machine: name }) {
    const machine = call.machine(name);
    const described = await machine.machine?.describe();
    return {
      name,
      state: machine.state,
      base: machine.machine?.base ?? null,
      head: await call.host.engine.head(name),
      description:
        described === undefined
          ? null
          : {
              kind: described.machine.kind,
              version: described.machine.version,
              architecture: described.machine.architecture,
              tracking: described.traits.tracking,
              tier: described.tier,
              tierReason: described.tierReason ?? null,
              regions: described.regions.map(({ name, kind, guestAddress, sizeBytes, pageBytes }) => ({
                name,
                kind,
                guestAddress,
                sizeBytes,
                pageBytes,
              })),
            },
      lastBell: call.host.bells?.recent(name).at(-1) ?? null,
      facts: { ...(await machine.facts?.()) },
    };
  },
});
