// delete: removes snapshots. Others stay whole; the room comes back with `collect`.

import * as v from 'valibot';
import { NOTHING, SNAPSHOT } from '../fields.ts';
import { defineVerb } from '../verb.ts';

export const deleteSnapshots = defineVerb({
  id: 15,
  name: 'delete-snapshots',
  permission: 'delete',
  effect: 'store',
  request: v.strictObject({ snapshots: v.pipe(v.array(SNAPSHOT), v.minLength(1), v.maxLength(256)) }),
  response: NOTHING,
  async run(call, { snapshots }) {
    const ids: string[] = [];
    // All of them before the first is gone.
    for (const snapshot of snapshots) ids.push((await call.snapshot(snapshot)).id);
    await call.host.engine.delete(ids);
    call.note({ snapshot: ids });
    return {};
  },
});
