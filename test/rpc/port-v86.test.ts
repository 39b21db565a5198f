// A real machine used over a port and its shared memory: what is written here must drop the code that it compiled there.

import { afterAll, describe, expect, it, vi } from 'vitest';
import type { PauseNeeds } from '../../src/guest/guest.ts';
import { PULSE, PULSE_FACTS } from '../../src/guest/pulse/pulse.ts';
import { exposeGuest, offerOf } from '../../src/rpc/guest-port.ts';
import { connectGuest } from '../../src/rpc/port-guest.ts';
import { guestConformance } from '../../src/testing/guest-conformance.ts';
import { openPulse, paused, runPulse, sharedProgram } from '../guest/v86/machines.ts';

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
