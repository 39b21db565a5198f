// checkpoint: makes this instant the point that `reset` goes back to. It lies in memory and is gone with the machine.

import * as v from 'valibot';
import { COUNT, MACHINE_NAME, MS } from '../fields.ts';
import { running } from '../running.ts';
import { defineVerb } from '../verb.ts';

export const checkpoint = defineVerb({
  id: 6,
  name: 'checkpoint',
  permission: 'restore',
  effect: 'machine',
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: v.object({ pauseMs: MS, pagesScanned: COUNT }),
  run: async (call, { machine }) => running(call.machine(machine)).checkpoint(),
});
