// Runs in a thread of its own: Pulse on v86 in shared memory, served at a port. Whenever its devices are saved, which is at
// rest, it copies its RAM: the witness of what a capture of that instant must hold.

import { parentPort, workerData } from 'node:worker_threads';
import { PULSE } from '../../src/guest/pulse/pulse.ts';
import { openV86, pulseConfig } from '../../src/guest/v86/index.ts';
import { exposeGuest, offerOf } from '../../src/rpc/guest-port.ts';

/** What the thread is started with. */
export interface V86ThreadData {
  readonly wasm: Uint8Array<ArrayBuffer>;
}

/** Pages written a tick. */
const SPEED = 64;

async function serve(): Promise<void> {
  const { wasm } = workerData as V86ThreadData;
  const guest = await openV86(pulseConfig({ bytes: wasm }, { memoryBytes: 4 << 20, memory: 'shared' }));
  let witness = new Uint8Array(0);
  const saveDevices = guest.saveDevices.bind(guest);
  guest.saveDevices = () => {
    witness = guest.view(0)!.slice();
    return saveDevices();
  };
  parentPort!.on('message', (message: { readonly port?: MessagePort }) => {
    if (message.port === undefined) {
      parentPort!.postMessage(witness);
      return;
    }
    exposeGuest(guest, message.port);
    parentPort!.postMessage(offerOf(guest));
  });
  await guest.start();
  const isUp = async (): Promise<boolean> => {
    await guest.pause();
    const ticks = new DataView(guest.view(0)!.slice(PULSE.ticks, PULSE.ticks + 4).buffer).getUint32(0, true);
    if (ticks > 0) {
      guest.writePages({ region: 0, offsetBytes: PULSE.speed, lengthBytes: 1 }, Uint8Array.of(SPEED));
    }
    await guest.resume();
    return ticks > 0;
  };
  while (!(await isUp())) await new Promise((resolve) => setTimeout(resolve, 1));
  parentPort!.postMessage('up');
}

void serve();
