// Runs in a thread of its own: a guest in shared memory that works without a break, served at a port. Each time that its
// devices are saved, which is at rest, it copies its memory: the witness of what a capture of that instant must hold.

import { parentPort, workerData } from 'node:worker_threads';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { DeviceRecord } from '../../src/guest/guest.ts';
import { exposeGuest, type GuestServer, offerOf } from '../../src/rpc/guest-port.ts';
import { Random } from '../../src/testing/random.ts';

/** What the thread is started with. */
export interface GuestThreadData {
  readonly sizeBytes: number;
  readonly tracking: 'none' | 'marks' | 'barrier';
  readonly seed: number;
}

/** What it is told, and what it answers. */
export type GuestThreadMessage =
  | { readonly kind: 'serve'; readonly port: MessagePort }
  | { readonly kind: 'release' }
  | { readonly kind: 'witness' }
  | { readonly kind: 'die-at-devices' };

/** Steps between two looks at what came in: about a millisecond. */
const STEPS = 20_000;

class WitnessGuest extends FlatGuest {
  witness: Uint8Array[] = [];
  isMortal = false;
  rests = 0;

  override async pause(): Promise<void> {
    await super.pause();
    this.rests++;
  }

  override async resume(): Promise<void> {
    await super.resume();
    this.rests--;
  }

  override saveDevices(): DeviceRecord[] {
    if (this.isMortal) process.exit();
    this.witness = this.regions.map(({ id }) => this.view(id)!.slice());
    return super.saveDevices();
  }
}

const { sizeBytes, tracking, seed } = workerData as GuestThreadData;
const ram = new Uint8Array(new SharedArrayBuffer(sizeBytes));
ram.set(new Random(seed).bytes(sizeBytes / 2));
const guest = new WitnessGuest({
  regions: [
    { name: 'ram', bytes: ram, guestAddress: 0 },
    // As a disk image is: not shared.
    { name: 'disk', bytes: new Random(seed + 1).bytes(70_000), kind: 'disk' },
  ],
  tracking,
  seed,
});
let server: GuestServer | undefined;

parentPort!.on('message', (message: GuestThreadMessage) => {
  if (message.kind === 'serve') {
    server = exposeGuest(guest, message.port);
    parentPort!.postMessage(offerOf(guest));
  } else if (message.kind === 'release') {
    void server?.release().then(() => parentPort!.postMessage({ rests: guest.rests }));
  } else if (message.kind === 'witness') {
    parentPort!.postMessage({ witness: guest.witness, steps: guest.steps });
  } else {
    guest.isMortal = true;
    parentPort!.postMessage({});
  }
});

/** Works a little, lets messages in, and so on. */
function work(): void {
  if (guest.rests === 0) guest.run(STEPS);
  setImmediate(work);
}
work();
