// Runs in a thread of its own: MicroPython in shared memory that works without a break, served at a port. Whenever its
// devices are saved, which is at rest, it copies its memory: the witness of what a capture of that instant must hold.

import { parentPort, workerData } from 'node:worker_threads';
import { openMicroPython } from '../../src/guest/micropython/micropython.ts';
import { exposeGuest, offerOf } from '../../src/rpc/guest-port.ts';

/** What the thread is started with. */
export interface PythonThreadData {
  /** Where the loader and its program are: this file is bundled without them. */
  readonly loaderUrl: string;
  readonly wasmUrl: string;
  readonly tracking: 'marks' | 'barrier';
  readonly maxMemoryBytes: number;
}

/** What it is told: to serve its guest, to give the witness, or to paste lines, whose output it answers with. */
export type PythonThreadMessage =
  | { readonly kind: 'serve'; readonly port: MessagePort }
  | { readonly kind: 'witness' }
  | { readonly kind: 'paste'; readonly lines: string };

/** Long lived lists, so that the memory grows; and pages written over and over. */
const BEGIN = 'n = 0\nkeep = []\nring = bytearray(400000)\n';
const STEP = `n += 1
keep.append(bytearray(3000))
if len(keep) > 600: keep = []
for i in range(n % 977, 400000, 977): ring[i] = (ring[i] + 1) & 255
`;

async function serve(): Promise<void> {
  const { loaderUrl, wasmUrl, tracking, maxMemoryBytes } = workerData as PythonThreadData;
  const { loadMicroPython } = await import(loaderUrl);
  const options = { loadMicroPython, wasmUrl, tracking, maxMemoryBytes, memory: 'shared' as const };
  const guest = await openMicroPython(options);
  let witness = new Uint8Array(0);
  const saveDevices = guest.saveDevices.bind(guest);
  guest.saveDevices = () => {
    witness = guest.view(0)!.slice();
    return saveDevices();
  };
  parentPort!.on('message', async (message: PythonThreadMessage) => {
    if (message.kind === 'serve') {
      exposeGuest(guest, message.port);
      parentPort!.postMessage(offerOf(guest));
    } else if (message.kind === 'witness') parentPort!.postMessage(witness);
    else {
      let printed = '';
      const end = guest.onOutput((bytes) => (printed += new TextDecoder().decode(bytes)));
      await guest.paste(message.lines);
      end();
      parentPort!.postMessage(printed);
    }
  });
  await guest.paste(BEGIN);
  parentPort!.postMessage('up');
  for (;;) {
    await guest.paste(STEP);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

void serve();
