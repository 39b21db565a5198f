// store-get: an object or ref of the host's store, or a range of it, as it lies there. It is the way to all that the store
// holds, of every machine, hence for the host as a whole.

import * as v from 'valibot';
import { COUNT, STORE_KEY } from '../fields.ts';
import { defineVerb } from '../verb.ts';

export const storeGet = defineVerb({
  id: 29,
  name: 'store-get',
  permission: 'export',
  effect: 'none',
  streams: { down: 'bytes', up: 'none' },
  request: v.strictObject({
    key: STORE_KEY,
    range: v.exactOptional(v.strictObject({ offsetBytes: COUNT, lengthBytes: COUNT })),
  }),
  response: v.object({ found: v.boolean(), lengthBytes: COUNT }),
  async run(call, { key, range }) {
    call.require(null);
    call.note({ key });
    const bytes = await call.host.store.get(key, range);
    if (bytes !== undefined) await call.sendBytes(bytes);
    return { found: bytes !== undefined, lengthBytes: bytes?.length ?? 0 };
  },
});
