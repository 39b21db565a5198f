// show: one snapshot; its manifest as the bytes that its id is the digest of.

import * as v from 'valibot';
import { encodeManifest } from '../../format/manifest.ts';
import { SNAPSHOT, SNAPSHOT_INFO } from '../fields.ts';
import { defineVerb } from '../verb.ts';

export const show = defineVerb({
  id: 12,
  name: 'show',
  permission: 'observe',
  effect: 'none',
  streams: { down: 'bytes', up: 'none' },
  request: v.strictObject({ snapshot: SNAPSHOT }),
  response: v.object({ snapshot: SNAPSHOT_INFO }),
  async run(call, { snapshot }) {
    const info = await call.snapshot(snapshot);
    const { manifest } = await call.host.engine.show(info.id);
    await call.sendBytes(encodeManifest(manifest));
    return { snapshot: info };
  },
});
