// run: starts a machine in a way that the host knows. What of the arguments it takes is the host's operator's to say.

import * as v from 'valibot';
import { VitrineError } from '../../base/error.ts';
import { JOB_ID, LENGTH, MACHINE_NAME } from '../fields.ts';
import { provided } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const run = defineVerb({
  id: 20,
  name: 'run',
  permission: 'admin',
  effect: 'host',
  isJob: true,
  request: v.strictObject({
    name: MACHINE_NAME,
    profile: v.exactOptional(MACHINE_NAME),
    memoryBytes: v.exactOptional(LENGTH),
    freePages: v.exactOptional(v.boolean()),
    doorbell: v.exactOptional(v.pipe(v.array(v.picklist(['save', 'checkpoint', 'reset'])), v.maxLength(3))),
    arguments: v.exactOptional(v.pipe(v.array(v.pipe(v.string(), v.maxBytes(1024))), v.maxLength(128))),
    job: v.exactOptional(JOB_ID),
  }),
  response: v.object({ job: JOB_ID, name: MACHINE_NAME }),
  async run(call, { job: id, ...request }) {
    call.require(null);
    const { name } = request;
    const { profile = null, arguments: given = [], doorbell } = request;
    call.note({
      machine: name,
      profile,
      arguments: given,
      ...(doorbell === undefined ? {} : { doorbell }),
    });
    const way = provided(call.host.run?.bind(call.host), 'run');
    const { job } = await call.job({ job: id, machine: name }, async (work) => {
      const known = call.host.machine(name);
      if (known !== undefined && known.state !== 'stopped' && known.state !== 'lost') {
        throw new VitrineError('wrong-state', { machine: name, actual: known.state, required: 'stopped' });
      }
      await way(request, work);
      return { name };
    });
    return { job, name };
  },
});
