// run: starts a machine. What it is made of is said in full, which is for those who may administer the host; or it is a profile of
// the host's operator, or what a machine of that name was made of before: those who may administer the machine start it so.

import * as v from 'valibot';
import { VitrineError } from '../../base/error.ts';
import { JOB_ID, LENGTH, MACHINE_NAME } from '../fields.ts';
import type { RunRequest } from '../host.ts';
import { provided } from '../running.ts';
import { type Call, defineVerb } from '../verb.ts';

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
    const { name } = request;
    const isFixed = isAsItWasMade(request) && (request.profile !== undefined || isKnown(call, name));
    call.require(isFixed ? name : null);
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

/** Nothing of what it is made of is the session's own. */
function isAsItWasMade({ memoryBytes, freePages, doorbell, arguments: given }: Partial<RunRequest>): boolean {
  return [memoryBytes, freePages, doorbell, given].every((one) => one === undefined);
}

function isKnown(call: Call, name: string): boolean {
  return call.host.machine(name) !== undefined;
}
