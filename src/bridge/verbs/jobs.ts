// jobs: what is under way on the host and what has ended lately, of the machines that the session may observe and of itself.

import * as v from 'valibot';
import { JOB_INFO, NOTHING } from '../fields.ts';
import { jobInfo } from '../job-info.ts';
import { defineVerb } from '../verb.ts';

export const jobs = defineVerb({
  id: 17,
  name: 'jobs',
  permission: 'observe',
  effect: 'none',
  streams: { down: 'items', up: 'none' },
  request: v.strictObject({}),
  response: NOTHING,
  item: JOB_INFO,
  async run(call) {
    const seen = call.host.jobs
      .list()
      .filter((job) => job.subject === call.grant.subject || call.allows(job.machine));
    for (const job of seen) await call.sendItems([await jobInfo(job)]);
    return {};
  },
});
