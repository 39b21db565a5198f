// The machine that needs no download: Pulse as its ROM.

import { PULSE_FACTS, pulseRom } from '../pulse/pulse.ts';
import type { V86Config } from './open-v86.ts';

/** A PC with Pulse. `wasm` says where v86's program is. */
export function pulseConfig(wasm: V86Config['wasm'], change: Partial<V86Config> = {}): V86Config {
  return { wasm, memoryBytes: PULSE_FACTS.memoryBytes, bios: { bytes: pulseRom() }, ...change };
}
