// store-swap: moves a ref of the host's store, if it holds what the client expects. The stream holds what is expected and
// then what is next; null stands for "there is no such ref".

import * as v from 'valibot';
import { COUNT, NOTHING, STORE_KEY } from '../fields.ts';
import { withUpload } from '../upload.ts';
import { defineVerb } from '../verb.ts';

export const storeSwap = defineVerb({
  id: 33,
  name: 'store-swap',
  permission: 'admin',
  effect: 'store',
  streams: { down: 'none', up: 'bytes' },
  request: v.strictObject({
    ref: STORE_KEY,
    expectedBytes: v.nullable(COUNT),
    nextBytes: v.nullable(COUNT),
  }),
  response: NOTHING,
  async run(call, { ref, expectedBytes, nextBytes }) {
    call.require(null);
    call.note({ key: ref });
    const first = expectedBytes ?? 0;
    await withUpload(call, first + (nextBytes ?? 0), (bytes) =>
      call.host.store.compareAndSwap(
        ref,
        expectedBytes === null ? null : bytes.slice(0, first),
        nextBytes === null ? null : bytes.slice(first),
      ),
    );
    return {};
  },
});
