// cancel-job: gives a job up, one's own or one that the session could have begun. What has ended stays as it is.

import * as v from 'valibot';
import { JOB_ID, JOB_INFO } from '../fields.ts';
import { findJob, jobInfo } from '../job-info.ts';
import { defineVerb } from '../verb.ts';

export const cancelJob = defineVerb({
  id: 19,
  name: 'cancel-job',
  permission: 'observe',
  effect: 'machine',
  request: v.strictObject({ job: JOB_ID }),
  response: JOB_INFO,
  async run(call, { job: id }) {
    const job = findJob(call, id);
    if (job.subject !== call.grant.subject) call.require(job.machine, 'admin');
    job.cancel();
    return jobInfo(job);
  },
});
