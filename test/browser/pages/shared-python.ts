// A guest's worker with MicroPython in shared memory, at work without a break. It copies its memory whenever its devices are
// saved; typed `?` is answered with that copy's digest, other lines are pasted and answered with what they print.

import { loadMicroPython } from '@micropython/micropython-webassembly-pyscript/micropython.mjs';
import wasmUrl from '@micropython/micropython-webassembly-pyscript/micropython.wasm?url';
import { openMicroPython } from '../../../src/guest/micropython/micropython.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { GuestHost, type OpenedGuest } from '../../../src/rpc/guest-host.ts';
import { serve } from '../../../src/rpc/ready.ts';

const BEGIN = 'import js\nn = 0\nkeep = []\nring = bytearray(400000)\n';
/** Long lived lists and pages written over and over; and text that goes through the loader both ways, decoded in place. */
const STEP = `n += 1
keep.append(bytearray(3000))
if len(keep) > 300: keep = []
for i in range(n % 977, 400000, 977): ring[i] = (ring[i] + 1) & 255
said = str(js.String('more than a few bytes, and some of them long: äöü €'))
`;

async function openPython(memory: 'auto' | 'shared' | 'private'): Promise<OpenedGuest> {
  const guest = await openMicroPython({
    loadMicroPython,
    wasmUrl: new URL(wasmUrl, location.href).href,
    tracking: 'barrier',
    memory,
  });
  let witness = new Uint8Array(0);
  const saveDevices = guest.saveDevices.bind(guest);
  guest.saveDevices = () => {
    witness = new Uint8Array(guest.regions[0]!.sizeBytes);
    guest.readPages({ region: 0, offsetBytes: 0, lengthBytes: witness.length }, witness);
    return saveDevices();
  };
  const listeners = new Set<(text: string) => void>();
  const say = (text: string): void => {
    for (const listener of listeners) listener(text);
  };
  const answer = async (text: string): Promise<void> => {
    if (text === '?') return say(new Uint8Array(await crypto.subtle.digest('SHA-256', witness)).join());
    let printed = '';
    // A character comes byte by byte.
    const decoder = new TextDecoder();
    const end = guest.onOutput((bytes) => {
      printed += decoder.decode(bytes, { stream: true });
    });
    await guest.paste(text);
    end();
    say(printed);
  };
  await guest.paste(BEGIN);
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = async () => {
    await guest.paste(STEP);
    port2.postMessage(null);
  };
  port2.postMessage(null);
  return {
    guest,
    console: {
      write: (text) => void answer(text).catch((error: unknown) => say(`failed: ${String(error)}`)),
      onOutput(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
  };
}

serve(
  new GuestHost({
    openKernels: () => loadKernels(),
    openGuest: ({ options = {} }) => openPython(options.memory as 'auto' | 'shared' | 'private'),
  }),
);
