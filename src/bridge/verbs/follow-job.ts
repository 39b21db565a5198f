// follow-job: waits for a job's end, with its progress. Its result is that of the job's verb; a job that failed answers with
// its error. Cancelling this ends the waiting and not the job.

import * as v from 'valibot';
import { JOB_ID } from '../fields.ts';
import { findJob } from '../job-info.ts';
import { defineVerb } from '../verb.ts';

export const followJob = defineVerb({
  id: 18,
  name: 'follow-job',
  permission: 'observe',
  effect: 'none',
  request: v.strictObject({ job: JOB_ID }),
  response: v.object({ verb: v.string(), machine: v.nullable(v.string()), report: v.unknown() }),
  async run(call, { job: id }) {
    const job = findJob(call, id);
    const { result } = await call.follow(job);
    return { verb: job.verb, machine: job.machine, report: result };
  },
});
