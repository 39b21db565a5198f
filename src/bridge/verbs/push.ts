// push: a snapshot goes from the client to the host, of its objects those that the host lacks. The host proves every object
// before it stores it, and has the snapshot only when all of it is there.

import * as v from 'valibot';
import { VitrineError } from '../../base/error.ts';
import { decodeManifest } from '../../format/manifest.ts';
import { MACHINE_NAME, SNAPSHOT_INFO } from '../fields.ts';
import { answerSender } from '../transfer-stream.ts';
import { defineVerb } from '../verb.ts';

export const push = defineVerb({
  id: 28,
  name: 'push',
  permission: 'save',
  effect: 'store',
  streams: { down: 'bytes', up: 'bytes' },
  /** The machine that the snapshot is of, by the name in its manifest. */
  request: v.strictObject({ machine: MACHINE_NAME }),
  response: v.object({ snapshot: v.nullable(SNAPSHOT_INFO) }),
  async run(call, { machine }) {
    call.require(machine);
    const local = await call.host.engine.receiver();
    const receiver = {
      ...local,
      async finish(bytes: Uint8Array<ArrayBuffer>) {
        const { name } = decodeManifest(bytes);
        if (name === machine) return local.finish(bytes);
        throw new VitrineError('argument-invalid', { name: 'machine', value: machine, manifest: name });
      },
    };
    const snapshot = await answerSender(receiver, call.input, (bytes) => call.sendBytes(bytes));
    if (snapshot !== null) call.note({ snapshot: snapshot.id });
    return { snapshot };
  },
});
