// collect: removes from the host's store what no snapshot reaches. Saves wait for it, and it for them.

import * as v from 'valibot';
import { COUNT, JOB_ID } from '../fields.ts';
import { defineVerb } from '../verb.ts';

export const collect = defineVerb({
  id: 16,
  name: 'collect',
  permission: 'delete',
  effect: 'store',
  isJob: true,
  request: v.strictObject({ job: v.exactOptional(JOB_ID) }),
  response: v.object({
    job: JOB_ID,
    report: v.object({
      packsRemoved: COUNT,
      packsRewritten: COUNT,
      manifestsRemoved: COUNT,
      objectsRemoved: COUNT,
    }),
  }),
  async run(call, { job: id }) {
    call.require(null);
    const { job, result } = await call.job({ job: id, machine: null }, (work) =>
      call.host.engine.collect(work),
    );
    return { job, report: result };
  },
});
