// Opens Pulse: a PC whose ROM is the program, so that nothing but v86 itself is loaded.

import wasmUrl from 'v86/build/v86.wasm?url';
import { openV86 } from '../../guest/v86/open-v86.ts';
import { pulseConfig } from '../../guest/v86/pulse-config.ts';
import { V86Steps } from '../../guest/v86/v86-steps.ts';
import type { GuestSpec, OpenedGuest } from '../../rpc/guest-host.ts';
import { consoleOfV86 } from './v86-console.ts';

/** With `options.deterministic` it does the same again, and stands still until somebody runs it. */
export async function openPulse({ options }: GuestSpec): Promise<OpenedGuest> {
  const deterministic = options?.deterministic === true;
  const guest = await openV86(pulseConfig({ url: wasmUrl }, { memory: 'auto', deterministic }));
  const console = consoleOfV86(guest);
  if (deterministic) return { guest, console };
  await guest.start();
  return { guest, console };
}

/** A Pulse that does the same again, to be gone back and forth over. */
export async function openPulseBySteps({ options }: GuestSpec): Promise<OpenedGuest> {
  const guest = await openV86(pulseConfig({ url: wasmUrl }, { memory: 'auto', deterministic: true }));
  const console = consoleOfV86(guest);
  if (options?.deterministic !== true) await guest.start();
  return { guest, console, steps: new V86Steps(guest) };
}
