// store-put: keeps an object in the host's store. Its bytes are streamed up.

import * as v from 'valibot';
import { COUNT, NOTHING, STORE_KEY } from '../fields.ts';
import { withUpload } from '../upload.ts';
import { defineVerb } from '../verb.ts';

export const storePut = defineVerb({
  id: 31,
  name: 'store-put',
  permission: 'admin',
  effect: 'store',
  streams: { down: 'none', up: 'bytes' },
  request: v.strictObject({ key: STORE_KEY, lengthBytes: COUNT }),
  response: NOTHING,
  async run(call, { key, lengthBytes }) {
    call.require(null);
    call.note({ key, lengthBytes });
    await withUpload(call, lengthBytes, (bytes) => call.host.store.put(key, bytes));
    return {};
  },
});
