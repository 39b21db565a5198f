// attach: adopts a machine that runs already. The socket is a path on the host, which its operator must have allowed.

import * as v from 'valibot';
import { JOB_ID, MACHINE_NAME } from '../fields.ts';
import { provided } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const attach = defineVerb({
  id: 21,
  name: 'attach',
  permission: 'admin',
  effect: 'host',
  isJob: true,
  request: v.strictObject({
    name: MACHINE_NAME,
    socket: v.pipe(v.string(), v.minLength(1), v.maxBytes(1024)),
    job: v.exactOptional(JOB_ID),
  }),
  response: v.object({ job: JOB_ID, name: MACHINE_NAME }),
  async run(call, { job: id, name, socket }) {
    call.require(null);
    call.note({ machine: name, socket });
    const way = provided(call.host.attach?.bind(call.host), 'attach');
    const { job } = await call.job({ job: id, machine: name }, async (work) => {
      await way({ name, socket }, work);
      return { name };
    });
    return { job, name };
  },
});
