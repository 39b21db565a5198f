// A WebAssembly program in shared memory, used over a port: also what its memory grew by is read in place.

import { afterAll, describe, expect, it } from 'vitest';
import type { PauseNeeds } from '../../src/guest/guest.ts';
import { instantiateCaught } from '../../src/guest/wasm/catch-instance.ts';
import { WasmInstanceGuest } from '../../src/guest/wasm/wasm-instance.ts';
import { exposeGuest, offerOf } from '../../src/rpc/guest-port.ts';
import { connectGuest } from '../../src/rpc/port-guest.ts';
import { guestConformance } from '../../src/testing/guest-conformance.ts';
import { type ChurnExports, churnModule } from '../guest/wasm/churn.ts';

const PAGE = 65_536;
const MAX_PAGES = 6;
const churn = churnModule();

const ports: MessagePort[] = [];
afterAll(() => {
  for (const port of ports) port.close();
});

const env = { host: () => undefined };

async function open() {
  const { exports, caught } = await instantiateCaught(churn, { env }, { memory: 'shared' });
  const program = new WasmInstanceGuest(caught, { program: 'churn' });
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  exposeGuest(program, port1);
  const guest = connectGuest(port2, offerOf(program)!, new Promise(() => {}));
  return { program, guest, exports: exports as unknown as ChurnExports };
}

guestConformance(
  'WebAssembly instance in shared memory at a port',
  async () => {
    const { guest, exports } = await open();
    const needs: PauseNeeds = { marks: true };
    const pause = guest.pause.bind(guest);
    guest.pause = () => pause(needs);
    return { guest, run: async () => String(exports.run(1000)) };
  },
  { describe, expect, it },
);

describe('a WebAssembly program in shared memory', () => {
  it('says where it lies, and after it grew where it lies then', async () => {
    const { program, guest, exports } = await open();
    expect(program.traits.sharedMemory).toBe(true);
    const [before] = guest.shared.regions;
    exports.grow();
    exports.run(1000);
    const [grown] = program.shared!.regions;
    expect(grown!.sizeBytes).toBeGreaterThan(before!.sizeBytes);
    await guest.pause();
    expect(guest.shared.regions).toEqual([grown]);
    const lengthBytes = MAX_PAGES * PAGE;
    const whole = new Uint8Array(lengthBytes);
    await guest.readPages({ region: 0, offsetBytes: 0, lengthBytes }, whole);
    await program.pause();
    const own = new Uint8Array(lengthBytes);
    program.readPages({ region: 0, offsetBytes: 0, lengthBytes }, own);
    expect(Buffer.compare(whole, own)).toBe(0);
    await program.resume();
    await guest.resume();
  });

  it('is refused together with marks, by name', async () => {
    const opening = instantiateCaught(churn, { env }, { memory: 'shared', tracking: 'marks' });
    await expect(opening).rejects.toMatchObject({
      code: 'unsupported',
      data: { missing: 'marks in shared memory' },
    });
  });
});
