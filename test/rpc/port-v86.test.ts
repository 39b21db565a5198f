// A real machine used over a port and its shared memory: what is written here must drop the code that it compiled there.

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { PauseNeeds } from '../../src/guest/guest.ts';
import { PULSE, PULSE_FACTS } from '../../src/guest/pulse/pulse.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { exposeGuest, type GuestOffer, offerOf } from '../../src/rpc/guest-port.ts';
import { connectGuest } from '../../src/rpc/port-guest.ts';
import { guestConformance } from '../../src/testing/guest-conformance.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { openPulse, paused, runPulse, sharedProgram, v86Bytes } from '../guest/v86/machines.ts';
import { type NodeWorker, removeBundles, startNodeWorker } from '../support/node-worker.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const STEP = 16;
const ports: MessagePort[] = [];
afterAll(() => {
  for (const port of ports) port.close();
});

guestConformance(
  'v86 with Pulse at a port',
  async () => {
    const machine = await openPulse({ wasm: await sharedProgram() });
    const { port1, port2 } = new MessageChannel();
    ports.push(port1, port2);
    exposeGuest(machine, port1);
    const guest = connectGuest(port2, offerOf(machine)!, new Promise(() => {}));
    const needs: PauseNeeds = { marks: true, devices: true };
    const pause = guest.pause.bind(guest);
    guest.pause = () => pause(needs);
    // A barrier over a port is open when the guest has answered; live captures over it are below.
    Object.defineProperty(guest, 'openBarrier', { value: undefined });
    Object.defineProperty(guest, 'traits', { value: { ...guest.traits, tracking: 'marks' } });
    return {
      guest,
      // Its clock shows in ticks and instants.
      exact: false,
      run: async () => {
        const goal = await runPulse(machine, STEP);
        return paused(machine, () => {
          const ram = machine.view(0)!;
          const view = new DataView(ram.buffer, ram.byteOffset);
          const sums = Array.from({ length: STEP }, (_, i) => {
            const page = ((goal - STEP + i) * PULSE_FACTS.stride) % PULSE_FACTS.pageCount;
            return view.getUint32(PULSE.sums + 4 * page, true);
          });
          return `${goal}: ${sums.join()} health ${view.getUint32(PULSE.health, true)}`;
        });
      },
    };
  },
  { describe, it, expect },
);

describe('Pulse in a thread of its own', () => {
  let thread: NodeWorker;
  let tracker: ScanTracker;

  const hear = () => new Promise<unknown>((resolve) => thread.worker.once('message', resolve));
  const ask = (message: { readonly port?: MessagePort }, transfer: MessagePort[] = []) => {
    const answer = hear();
    thread.worker.postMessage(message, transfer as never);
    return answer;
  };

  beforeAll(async () => {
    thread = await startNodeWorker(new URL('./v86-thread.ts', import.meta.url), { wasm: v86Bytes() });
    expect(await hear()).toBe('up');
    const { port1, port2 } = new MessageChannel();
    ports.push(port2);
    const offer = (await ask({ port: port1 }, [port1])) as GuestOffer;
    const guest = connectGuest(port2, offer, new Promise(() => {}));
    tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  });
  afterAll(async () => {
    await thread.kill();
    await removeBundles();
  });

  it('is captured while it runs as it was at the instant, whatever the ring', async () => {
    const modes = new Set<string>();
    for (const [round, bufferBytes] of [0, 4096, 1 << 20, 0, 64 << 10, 4 << 20, 0, 8192].entries()) {
      const { live } = await tracker.capture({ full: round % 3 === 0, live: { bufferBytes } });
      modes.add(live!.mode);
      const region = (await tracker.describe()).regions[0]!;
      const pages = Uint32Array.from({ length: region.sizeBytes / region.pageBytes }, (_, page) => page);
      const { bytes } = await tracker.readPages(0, pages);
      expect(Buffer.compare(bytes, (await ask({})) as Uint8Array)).toBe(0);
      await tracker.commit();
    }
    expect([...modes]).toEqual(['barrier']);
  });

  it('goes on from an instant captured so', async () => {
    const { devices } = await tracker.capture({ full: true, live: { bufferBytes: 1 << 20 } });
    const region = (await tracker.describe()).regions[0]!;
    const pages = Uint32Array.from({ length: region.sizeBytes / region.pageBytes }, (_, page) => page);
    const { bytes } = await tracker.readPages(0, pages);
    await tracker.commit();
    const look = async () =>
      (await tracker.peek([{ region: 0, offsetBytes: 0, lengthBytes: region.sizeBytes }])).bytes[0]!;
    const word = (of: Uint8Array, at: number) => new DataView(of.buffer, of.byteOffset).getUint32(at, true);
    const ticks = word(bytes, PULSE.ticks);
    while (word(await look(), PULSE.ticks) < ticks + 50);
    for (let round = 0; round < 2; round++) {
      await tracker.beginRestore({ full: true });
      await tracker.stagePages(0, pages, bytes.slice());
      await tracker.applyRestore(devices);
      while (word(await look(), PULSE.ticks) < ticks + 20);
      // 2 is what Pulse says of memory that is not as it wrote it.
      expect(word(await look(), PULSE.health)).not.toBe(2);
    }
  });
});
