// store-list: keys of the host's store that start so, ascending.

import * as v from 'valibot';
import { NOTHING, STORE_KEY } from '../fields.ts';
import { defineVerb } from '../verb.ts';

export const storeList = defineVerb({
  id: 30,
  name: 'store-list',
  permission: 'export',
  effect: 'none',
  streams: { down: 'items', up: 'none' },
  request: v.strictObject({ prefix: STORE_KEY }),
  response: NOTHING,
  item: v.string(),
  async run(call, { prefix }) {
    call.require(null);
    await call.sendItems(await call.host.store.list(prefix));
    return {};
  },
});
