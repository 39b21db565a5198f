// What is told of a job.

import type { InferOutput } from 'valibot';
import { VitrineError } from '../base/error.ts';
import { errorBodyOf } from './error-body.ts';
import type { JOB_INFO } from './fields.ts';
import type { Job } from './jobs.ts';
import type { Call } from './verb.ts';

export type JobInfo = InferOutput<typeof JOB_INFO>;

export async function jobInfo(job: Job): Promise<JobInfo> {
  const { id, verb, machine, state, startedAtMs, progress } = job;
  const failed = state === 'failed' || state === 'cancelled';
  const error = failed ? await job.result.then(() => null, errorBodyOf) : null;
  return { id, verb, machine, state, startedAtMs, progress, error };
}

/**
 * A job by its id: the session's own, or of a machine for which it has the permission.
 *
 * Throws `not-found`, also for one that is not the session's to see.
 */
export function findJob(call: Call, id: string): Job {
  const { jobs } = call.host;
  const own = jobs.find(call.grant.subject, id);
  const found = own ?? jobs.list().find((job) => job.id === id && call.allows(job.machine));
  if (found === undefined) throw new VitrineError('not-found', { job: id });
  call.note({ job: id, ...(found.machine === null ? {} : { machine: found.machine }) });
  return found;
}
