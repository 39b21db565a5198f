// A guest's worker around a flat guest, in shared memory where it is told so. What is typed at its console: `run` lets it
// work, `die` makes it die at its next save, when the engine is in the middle of one, `tell` makes it say so then.

import { FlatGuest } from '../../../src/guest/flat.ts';
import type { DeviceRecord } from '../../../src/guest/guest.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { GuestHost } from '../../../src/rpc/guest-host.ts';
import { serve } from '../../../src/rpc/ready.ts';
import { Random } from '../../../src/testing/random.ts';

class MortalGuest extends FlatGuest {
  mortal = false;
  onSave = (): void => {};

  override saveDevices(): DeviceRecord[] {
    if (this.mortal) globalThis.close();
    this.onSave();
    return super.saveDevices();
  }
}

serve(
  new GuestHost({
    openKernels: () => loadKernels(),
    openGuest: async ({ options = {} }) => {
      const sizeBytes = Number(options.sizeBytes);
      const bytes = new Uint8Array(
        options.shared === true ? new SharedArrayBuffer(sizeBytes) : new ArrayBuffer(sizeBytes),
      );
      bytes.set(new Random(1).bytes(sizeBytes));
      const tracking = options.barrier === true ? 'barrier' : 'none';
      const guest = new MortalGuest({ tracking, regions: [{ name: 'ram', bytes, guestAddress: 0 }] });
      const listeners = new Set<(text: string) => void>();
      return {
        guest,
        console: {
          write(text) {
            if (text === 'die') guest.mortal = true;
            else if (text === 'tell') {
              guest.onSave = () => {
                for (const listener of listeners) listener('saving');
              };
            } else for (const listener of listeners) listener(guest.run(1000));
          },
          onOutput(listener) {
            listeners.add(listener);
            return () => listeners.delete(listener);
          },
        },
      };
    },
  }),
);
