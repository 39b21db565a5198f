// A guest's worker for machines in shared memory: a flat one that works without a break and copies its memory whenever its
// devices are saved, one that says by itself what it wants, Pulse, and a PC that draws. What is typed at the first one's console
// is answered with that copy's digest.

import wasmUrl from 'v86/build/v86.wasm?url';
import { consoleOfV86 } from '../../../src/app/guests/v86-console.ts';
import { VitrineError } from '../../../src/base/error.ts';
import { FlatGuest } from '../../../src/guest/flat.ts';
import type { DeviceRecord } from '../../../src/guest/guest.ts';
import { openV86, pulseConfig, type V86Config } from '../../../src/guest/v86/index.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { GuestHost, type OpenedGuest } from '../../../src/rpc/guest-host.ts';
import { serve } from '../../../src/rpc/ready.ts';
import { Random } from '../../../src/testing/random.ts';
import { GRAPHICS_ROM } from './graphics-rom.ts';

class WitnessGuest extends FlatGuest {
  witness = new Uint8Array(0);
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
    this.witness = this.view(0)!.slice();
    return super.saveDevices();
  }
}

function openFlat(sizeBytes: number): OpenedGuest {
  const bytes = new Uint8Array(new SharedArrayBuffer(sizeBytes));
  bytes.set(new Random(3).bytes(sizeBytes / 2));
  const guest = new WitnessGuest({ regions: [{ name: 'ram', bytes, guestAddress: 0 }], tracking: 'barrier' });
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    if (guest.rests === 0) guest.run(20_000);
    port2.postMessage(null);
  };
  port2.postMessage(null);
  const listeners = new Set<(text: string) => void>();
  const answer = async (): Promise<void> => {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', guest.witness));
    for (const listener of listeners) listener(digest.join());
  };
  return {
    guest,
    console: {
      write: () => void answer(),
      onOutput(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
  };
}

/** Has no use for the upper half of its memory. Typed `s` and `r` ring its doorbell, `.` is ten steps; each is answered. */
function openAsking(sizeBytes: number): OpenedGuest {
  const bytes = new Uint8Array(new SharedArrayBuffer(sizeBytes));
  bytes.set(new Random(3).bytes(sizeBytes));
  const guest = new FlatGuest({ regions: [{ name: 'ram', bytes, guestAddress: 0 }], tracking: 'marks' });
  guest.setFree({ region: 0, offsetBytes: sizeBytes / 2, lengthBytes: sizeBytes / 2 }, true);
  const listeners = new Set<(text: string) => void>();
  const answer = (): void => {
    const word = String.fromCharCode(guest.doorbell.word);
    for (const listener of listeners) listener(`${word} ${guest.steps}`);
  };
  const answerWhenRung = (): void => {
    if (guest.doorbell.isRung) setTimeout(answerWhenRung, 0);
    else answer();
  };
  return {
    guest,
    console: {
      write(text) {
        if (text === '.') guest.run(10);
        else guest.ring(text.charCodeAt(0));
        answerWhenRung();
      },
      onOutput(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
  };
}

async function openPc(config: V86Config): Promise<OpenedGuest> {
  const guest = await openV86(config);
  const console = consoleOfV86(guest);
  await guest.start();
  return { guest, console };
}

serve(
  new GuestHost({
    openKernels: () => loadKernels(),
    openGuest: async ({ name, options = {} }) => {
      const memory = options.memory as 'auto' | 'private';
      const wasm = { url: wasmUrl };
      if (name === 'flat') return openFlat(Number(options.sizeBytes));
      if (name === 'asking') return openAsking(Number(options.sizeBytes));
      if (name === 'pulse') return openPc(pulseConfig(wasm, { memory }));
      if (name === 'graphics')
        return openPc({ wasm, memory, memoryBytes: 2 ** 20, bios: { bytes: GRAPHICS_ROM } });
      throw new VitrineError('not-found', { guest: name });
    },
  }),
);
