// collect: removes from the host's store, and of its disks, what no snapshot reaches. Saves wait for it, and it for them.

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
      layersRemoved: v.exactOptional(COUNT),
      layersMerged: v.exactOptional(COUNT),
    }),
  }),
  async run(call, { job: id }) {
    call.require(null);
    const { host } = call;
    const { job, result } = await call.job({ job: id, machine: null }, async (work) => {
      await host.mayCollect?.();
      return { ...(await host.engine.collect(work)), ...(await host.collectDisks?.()) };
    });
    return { job, report: result };
  },
});
