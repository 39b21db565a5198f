// hello: the first request of a session. Says who is there, what the session may use, and how much.

import * as v from 'valibot';
import { LIMITS } from '../../base/limits.ts';
import { BRIDGE_LIMITS } from '../bridge-limits.ts';
import { COUNT, MACHINE_NAME } from '../fields.ts';
import { PERMISSIONS } from '../grant.ts';
import { defineVerb } from '../verb.ts';

/** Of the protocol: the subprotocol's name has it too. */
export const PROTOCOL_VERSION = 1;

export const hello = defineVerb({
  id: 1,
  name: 'hello',
  permission: 'observe',
  effect: 'none',
  request: v.strictObject({
    /** Who calls, for the host's log. */
    software: v.pipe(v.string(), v.maxBytes(LIMITS.maxNameBytes)),
  }),
  response: v.object({
    protocol: v.literal(PROTOCOL_VERSION),
    software: v.object({ name: v.string(), version: v.string() }),
    /** Another one each time the host starts: its jobs are gone then. */
    instance: v.string(),
    subject: v.string(),
    /** What the session may do that concerns the host as a whole. Hosts of before it was told say nothing. */
    permissions: v.optional(v.array(v.picklist(PERMISSIONS)), []),
    /** Whether machines can be started here. */
    runs: v.optional(v.boolean(), false),
    /** What they may be made of, by the names that `run` takes. */
    profiles: v.optional(v.array(MACHINE_NAME), []),
    store: v.object({
      kind: v.string(),
      durability: v.picklist(['none', 'process', 'power']),
      maxObjectBytes: COUNT,
    }),
    limits: v.object({ maxRequests: COUNT, maxCreditBytes: COUNT, dataFrameBytes: COUNT }),
  }),
  async run(call, { software }) {
    call.note({ software });
    const { kind, durability, maxObjectBytes } = call.host.store.traits;
    const { maxRequests, maxCreditBytes, dataFrameBytes } = BRIDGE_LIMITS;
    const profiles = [...(call.host.profiles ?? [])];
    return {
      protocol: PROTOCOL_VERSION,
      software: call.host.software,
      instance: call.host.jobs.instance,
      subject: call.grant.subject,
      permissions: PERMISSIONS.filter((permission) => call.allows(null, permission)),
      runs: call.host.run !== undefined,
      profiles,
      store: { kind, durability, maxObjectBytes },
      limits: { maxRequests, maxCreditBytes, dataFrameBytes },
    } as const;
  },
});
