// rewind-seek: brings a machine to a point of its recent past, and holds it there until `rewind-resume`. What it did since the last point is
// a point of its own first, where it is recorded: nothing is lost by looking back.

import * as v from 'valibot';
import { isVitrineError } from '../../base/error.ts';
import { JOB_ID, MACHINE_NAME, RESTORE_REPORT, SNAPSHOT } from '../fields.ts';
import { isLookingBack, lookBack } from '../looking-back.ts';
import { provided, running } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const rewindSeek = defineVerb({
  id: 41,
  name: 'rewind-seek',
  permission: 'restore',
  effect: 'machine',
  isJob: true,
  request: v.strictObject({ machine: MACHINE_NAME, snapshot: SNAPSHOT, job: v.exactOptional(JOB_ID) }),
  response: v.object({ job: JOB_ID, report: RESTORE_REPORT }),
  async run(call, { machine: name, snapshot, job: id }) {
    const machine = call.machine(name);
    const pause = provided(machine.pause?.bind(machine), 'pause');
    const { id: target } = await call.snapshot(snapshot, (owner) => (owner === name ? 'restore' : 'peek'));
    const recording = await call.host.recordings?.of(name).catch((error: unknown) => {
      // One whose book is damaged is not gone on with: any snapshot can be gone to still.
      if (!isVitrineError(error, 'format-range')) throw error;
      return undefined;
    });
    const { job, result } = await call.job({ job: id, machine: name }, async (work) => {
      const here = running(machine);
      const ran = machine.state === 'running';
      await pause();
      try {
        if (!isLookingBack(machine)) await recording?.keepPresent();
        const report = await here.restore(target, work);
        lookBack(machine);
        return report;
      } catch (error) {
        // It is as it was.
        if (ran) await machine.resume?.().catch(() => {});
        throw error;
      }
    });
    return { job, report: result };
  },
});
