// The v86 guest under the suite that every guest passes, with Pulse to do.

import { describe, expect, it, vi } from 'vitest';
import { PULSE, PULSE_FACTS } from '../../../src/guest/pulse/pulse.ts';
import { guestConformance } from '../../../src/testing/guest-conformance.ts';
import { openPulse, paused, runPulse, sharedProgram } from './machines.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const STEP = 16;

for (const memory of ['private', 'shared'] as const) {
  guestConformance(`v86 with Pulse in ${memory} memory`, () => openSubject(memory), {
    describe,
    it,
    expect,
  });
}

async function openSubject(memory: 'private' | 'shared') {
  const guest = await openPulse(memory === 'shared' ? { wasm: await sharedProgram() } : {});
  return {
    guest,
    // Its clock shows in ticks and instants.
    exact: false,
    run: async () => {
      const goal = await runPulse(guest, STEP);
      return paused(guest, () => {
        const ram = guest.view(0)!;
        const view = new DataView(ram.buffer, ram.byteOffset);
        // Sums of the pages of the round that just ended; a few more may have been written since.
        const sums = Array.from({ length: STEP }, (_, i) => {
          const page = ((goal - STEP + i) * PULSE_FACTS.stride) % PULSE_FACTS.pageCount;
          return view.getUint32(PULSE.sums + 4 * page, true);
        });
        return `${goal}: ${sums.join()} health ${view.getUint32(PULSE.health, true)}`;
      });
    },
  };
}
