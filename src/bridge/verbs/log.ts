// log: the snapshots that the session may observe, oldest first.

import * as v from 'valibot';
import { MACHINE_NAME, NOTHING, SNAPSHOT_INFO } from '../fields.ts';
import { defineVerb } from '../verb.ts';

export const log = defineVerb({
  id: 11,
  name: 'log',
  permission: 'observe',
  effect: 'none',
  streams: { down: 'items', up: 'none' },
  request: v.strictObject({ machine: v.exactOptional(MACHINE_NAME) }),
  response: NOTHING,
  item: SNAPSHOT_INFO,
  async run(call, { machine }) {
    if (machine !== undefined) call.require(machine);
    const infos = await call.host.engine.log(machine === undefined ? {} : { machine });
    await call.sendItems(infos.filter((info) => call.allows(info.machine)));
    return {};
  },
});
