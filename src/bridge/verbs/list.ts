// list: the machines of the host that the session may observe, and which permissions it has for each.

import * as v from 'valibot';
import { MACHINE_NAME, NOTHING, SNAPSHOT_ID } from '../fields.ts';
import { PERMISSIONS } from '../grant.ts';
import { defineVerb } from '../verb.ts';

export const list = defineVerb({
  id: 2,
  name: 'list',
  permission: 'observe',
  effect: 'none',
  streams: { down: 'items', up: 'none' },
  request: v.strictObject({}),
  response: NOTHING,
  item: v.object({
    name: MACHINE_NAME,
    state: v.picklist(['running', 'paused', 'stopped', 'lost']),
    permissions: v.array(v.picklist(PERMISSIONS)),
    /** The snapshot it goes on from, if there is one. */
    base: v.nullable(SNAPSHOT_ID),
    hasConsole: v.boolean(),
    /** Hosts of before it was told have none. */
    hasScreen: v.optional(v.boolean(), false),
  }),
  async run(call) {
    for (const machine of call.host.machines()) {
      if (!call.allows(machine.name)) continue;
      await call.sendItems([
        {
          name: machine.name,
          state: machine.state,
          permissions: PERMISSIONS.filter((permission) => call.allows(machine.name, permission)),
          base: machine.machine?.base ?? null,
          hasConsole: machine.console !== undefined,
          hasScreen: machine.screen !== undefined,
        },
      ]);
    }
    return {};
  },
});
