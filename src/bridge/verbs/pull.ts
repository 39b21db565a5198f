// pull: a snapshot goes from the host to the client, of its objects those that the client lacks. The streams are those of
// `transfer-stream.ts`, the host sends.

import * as v from 'valibot';
import { EFFORTS } from '../../format/frame-codecs.ts';
import { COUNT, SNAPSHOT, SNAPSHOT_ID } from '../fields.ts';
import { remoteReceiver } from '../transfer-stream.ts';
import { defineVerb } from '../verb.ts';

export const pull = defineVerb({
  id: 27,
  name: 'pull',
  permission: 'export',
  effect: 'none',
  streams: { down: 'bytes', up: 'bytes' },
  request: v.strictObject({
    snapshot: SNAPSHOT,
    effort: v.exactOptional(v.picklist(EFFORTS)),
  }),
  response: v.object({
    snapshot: SNAPSHOT_ID,
    wasThere: v.boolean(),
    objectsOffered: COUNT,
    objectsSent: COUNT,
    bytesSent: COUNT,
  }),
  async run(call, { snapshot, effort = 'fast' }) {
    const { id } = await call.snapshot(snapshot);
    const receiver = remoteReceiver((bytes) => call.sendBytes(bytes), call.input);
    const { signal } = call;
    const report = await call.host.engine.send(id, receiver, {
      signal,
      effort,
      onProgress: (progress) => call.progress(progress),
    });
    call.note({ bytesSent: report.bytesSent });
    return { ...report };
  },
});
