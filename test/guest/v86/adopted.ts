// A guest made of an emulator that is at hand, and a host clock that tests set.

import { pulseRom } from '../../../src/guest/pulse/pulse.ts';
import { adoptV86, trackedWasmFn, type V86Guest } from '../../../src/guest/v86/index.ts';
import type { V86Emulator } from '../../../src/guest/v86/v86-internals.ts';
import { v86Program } from './machines.ts';

export interface HostClock {
  readonly microtick: () => number;
  /** From now on it goes on from here. */
  set(nowMs: number): void;
}

/** Runs `work` with a host clock of its own, for v86's devices (one for the whole process) as for its program. */
export async function hostClock<T>(work: (clock: HostClock) => Promise<T>): Promise<T> {
  const { guest, emulator } = await adopted();
  const shared = emulator.v86.constructor;
  await guest.close();
  const original = shared.microtick;
  let offsetMs = 0;
  const microtick = () => performance.now() + offsetMs;
  const set = (nowMs: number) => {
    offsetMs = nowMs - performance.now();
  };
  shared.microtick = microtick;
  try {
    return await work({ microtick, set });
  } finally {
    shared.microtick = original;
  }
}

/** What the machine's timers count, in milliseconds. */
export function readTimers({ emulator }: { emulator: V86Emulator }): Record<string, number> {
  const { cpu } = emulator.v86;
  const now = emulator.v86.constructor.microtick();
  const apic = new DataView(cpu.wasm_memory.buffer, cpu.get_apic_addr());
  return {
    tsc: Number(BigInt.asUintN(64, cpu.wm.exports.read_tsc())) / 1e6,
    pit: now - cpu.devices.pit.counter_start_time[1]!,
    acpi: cpu.devices.acpi!.get_timer(now) / 3579.545,
    apic: now - apic.getFloat64(24, true),
  };
}

/** A guest and its emulator, with Pulse, not started. Nobody closes it but the caller. */
export async function adopted(
  change: object = {},
  clock?: HostClock,
): Promise<{ guest: V86Guest; emulator: V86Emulator }> {
  const { V86 } = await import('v86');
  const wasm_fn = async (imports: WebAssembly.Imports) => {
    const env = clock === undefined ? imports.env : { ...imports.env, microtick: clock.microtick };
    return trackedWasmFn(await v86Program())({ env: env! });
  };
  const emulator = new V86({
    wasm_fn,
    bios: { buffer: pulseRom().buffer },
    memory_size: 4 << 20,
    vga_memory_size: 1 << 20,
    net_device: { type: 'none' } as never,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    autostart: false,
    ...change,
  } as never) as unknown as V86Emulator;
  await new Promise<void>((resolve) => emulator.add_listener('emulator-ready', () => resolve()));
  return { guest: adoptV86(emulator), emulator };
}
