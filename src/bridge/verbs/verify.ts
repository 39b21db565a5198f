// verify: every object of a snapshot is read and proven by its digest.

import * as v from 'valibot';
import { BRIDGE_LIMITS } from '../bridge-limits.ts';
import { COUNT, JOB_ID, SNAPSHOT } from '../fields.ts';
import { defineVerb } from '../verb.ts';

export const verify = defineVerb({
  id: 14,
  name: 'verify',
  permission: 'observe',
  effect: 'none',
  isJob: true,
  request: v.strictObject({ snapshot: SNAPSHOT, job: v.exactOptional(JOB_ID) }),
  response: v.object({
    job: JOB_ID,
    report: v.object({
      objectsRead: COUNT,
      damagedCount: COUNT,
      /** The first hundred. */
      damaged: v.array(v.object({ where: v.string(), object: v.string(), code: v.string() })),
    }),
  }),
  async run(call, { snapshot, job: id }) {
    const { id: target, machine } = await call.snapshot(snapshot);
    const { job, result } = await call.job({ job: id, machine }, async (work) => {
      const { objectsRead, damaged } = await call.host.engine.verify(target, work);
      return {
        objectsRead,
        damagedCount: damaged.length,
        damaged: damaged.slice(0, BRIDGE_LIMITS.maxReportedDamage),
      };
    });
    return { job, report: result };
  },
});
