// fork: a new machine that goes on from a snapshot. Whoever forks twice from one snapshot has two machines with the same
// random numbers in them; hosts say so.

import * as v from 'valibot';
import { VitrineError } from '../../base/error.ts';
import { JOB_ID, MACHINE_NAME, SNAPSHOT } from '../fields.ts';
import { provided } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const fork = defineVerb({
  id: 8,
  name: 'fork',
  permission: 'admin',
  effect: 'host',
  isJob: true,
  request: v.strictObject({ snapshot: SNAPSHOT, name: MACHINE_NAME, job: v.exactOptional(JOB_ID) }),
  response: v.object({ job: JOB_ID, name: MACHINE_NAME }),
  async run(call, { snapshot, name, job: id }) {
    call.require(name);
    const { id: source } = await call.snapshot(snapshot, () => 'peek');
    call.note({ machine: name });
    const way = provided(call.host.fork?.bind(call.host), 'fork');
    const { job } = await call.job({ job: id, machine: name }, async (work) => {
      if (call.host.machine(name) !== undefined) {
        throw new VitrineError('argument-invalid', { name: 'name', value: name, reason: 'in use' });
      }
      await way(source, name, work);
      return { name };
    });
    return { job, name };
  },
});
