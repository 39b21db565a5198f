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

type Tracking = 'none' | 'marks' | 'barrier';

async function open(tracking: Tracking = 'none') {
  const { exports, caught } = await instantiateCaught(churn, { env }, { memory: 'shared', tracking });
  const program = new WasmInstanceGuest(caught, { program: 'churn' });
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  exposeGuest(program, port1);
  const guest = connectGuest(port2, offerOf(program)!, new Promise(() => {}));
  return { program, guest, exports: exports as unknown as ChurnExports };
}

for (const tracking of ['none', 'marks', 'barrier'] as const) {
  for (const grows of [false, true]) {
    // As `memory.size` of one that is not marked does, which never shrinks again, growth shows.
    if (grows && tracking === 'none') continue;
    guestConformance(
      `WebAssembly instance in shared memory at a port, tracking ${tracking}${grows ? ', that grows' : ''}`,
      async () => {
        const { guest, exports } = await open(tracking);
        const needs: PauseNeeds = { marks: true };
        const pause = guest.pause.bind(guest);
        guest.pause = () => pause(needs);
        // A barrier over a port is open when the guest has answered: `port-python.test.ts` captures with one.
        Object.defineProperty(guest, 'openBarrier', { value: undefined });
        if (tracking === 'barrier') {
          Object.defineProperty(guest, 'traits', { value: { ...guest.traits, tracking: 'marks' } });
        }
        const run = async () => {
          if (grows) exports.grow();
          return String(exports.run(1000));
        };
        return { guest, run, exact: !grows };
      },
      { describe, expect, it },
    );
  }
}

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

  it.each(['marks', 'barrier'] as const)('with %s lies all there from the start', async (tracking) => {
    const { program, guest, exports } = await open(tracking);
    const before = guest.shared.regions;
    expect(before).toMatchObject([{ offsetBytes: 0, sizeBytes: MAX_PAGES * PAGE }]);
    expect(exports.sizes()).toBe(1001);
    exports.grow();
    expect(exports.sizes()).toBe(2002);
    expect(program.shared!.regions).toEqual(before);
    // What is written over there past the program's size is its memory from then on.
    await guest.pause();
    const offsetBytes = 4 * PAGE + 5;
    await guest.writePages({ region: 0, offsetBytes, lengthBytes: 3 }, Uint8Array.of(0, 7, 0));
    await guest.resume();
    expect(exports.sizes()).toBe(5002);
  });
});
