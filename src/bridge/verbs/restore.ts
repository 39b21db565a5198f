// restore: brings a machine to a snapshot; in place unless told, where nothing but what differs is written.

import * as v from 'valibot';
import { JOB_ID, MACHINE_NAME, RESTORE_REPORT, SNAPSHOT } from '../fields.ts';
import { provided, running } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const restore = defineVerb({
  id: 5,
  name: 'restore',
  permission: 'restore',
  effect: 'machine',
  isJob: true,
  request: v.strictObject({
    machine: MACHINE_NAME,
    snapshot: SNAPSHOT,
    /** `fresh`: into a new process; `lazy`: it runs at once and its pages come as it asks for them. */
    mode: v.exactOptional(v.picklist(['in-place', 'fresh', 'lazy'])),
    job: v.exactOptional(JOB_ID),
  }),
  response: v.object({ job: JOB_ID, report: RESTORE_REPORT }),
  async run(call, { machine: name, snapshot, mode = 'in-place', job: id }) {
    const machine = call.machine(name);
    // Into another machine it could be looked at there.
    const { id: target } = await call.snapshot(snapshot, (owner) => (owner === name ? 'restore' : 'peek'));
    call.note({ machine: name, mode });
    const { job, result } = await call.job({ job: id, machine: name }, (work) => {
      if (mode === 'in-place') return running(machine).restore(target, work);
      return provided(machine.restore?.bind(machine), `restore ${mode}`)(target, mode, work);
    });
    return { job, report: result };
  },
});
