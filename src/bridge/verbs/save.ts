// save: a machine as it is now becomes a snapshot; with `live` it runs on meanwhile. The job's result is its report.

import * as v from 'valibot';
import { EFFORTS } from '../../format/frame-codecs.ts';
import { COUNT, JOB_ID, LABEL, MACHINE_NAME, MS, SNAPSHOT_INFO } from '../fields.ts';
import { running } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const SAVE_REPORT = v.object({
  snapshot: SNAPSHOT_INFO,
  pauseMs: MS,
  totalMs: MS,
  pagesScanned: COUNT,
  pagesChanged: COUNT,
  pagesSkippedFree: COUNT,
  objectsNew: COUNT,
  bytesWritten: COUNT,
  live: v.exactOptional(
    v.object({
      mode: v.picklist(['barrier', 'stream', 'stopped']),
      reason: v.exactOptional(v.string()),
      pauseMs: MS,
      longestStallMs: MS,
      totalStallMs: MS,
      pagesCopiedAside: COUNT,
      spilled: COUNT,
      peakRingBytes: COUNT,
      ringBytes: COUNT,
    }),
  ),
});

export const save = defineVerb({
  id: 4,
  name: 'save',
  permission: 'save',
  effect: 'store',
  isJob: true,
  request: v.strictObject({
    machine: MACHINE_NAME,
    job: v.exactOptional(JOB_ID),
    label: v.exactOptional(LABEL),
    effort: v.exactOptional(v.picklist(EFFORTS)),
    full: v.exactOptional(v.boolean()),
    live: v.exactOptional(v.strictObject({ bufferBytes: v.exactOptional(COUNT) })),
    freePages: v.exactOptional(v.picklist(['skip', 'keep'])),
  }),
  response: v.object({ job: JOB_ID, report: SAVE_REPORT }),
  async run(call, { machine: name, job: id, ...options }) {
    const machine = call.machine(name);
    const { job, result } = await call.job({ job: id, machine: name }, (work) =>
      running(machine).save({ ...options, ...work }),
    );
    call.note({ snapshot: result.snapshot.id });
    return { job, report: result };
  },
});
