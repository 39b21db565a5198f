// store-delete: removes objects from the host's store, whatever reaches them. `delete-snapshots` and `collect` are the ways
// that lose nothing; this one is for engines that collect over a bridge.

import * as v from 'valibot';
import { NOTHING, STORE_KEY } from '../fields.ts';
import { defineVerb } from '../verb.ts';

export const storeDelete = defineVerb({
  id: 32,
  name: 'store-delete',
  permission: 'admin',
  effect: 'store',
  request: v.strictObject({ keys: v.pipe(v.array(STORE_KEY), v.maxLength(256)) }),
  response: NOTHING,
  async run(call, { keys }) {
    call.require(null);
    call.note({ keyCount: keys.length });
    await call.host.store.delete(keys);
    return {};
  },
});
