// Opens Pulse: a PC whose ROM is the program, so that nothing but v86 itself is loaded.

import wasmUrl from 'v86/build/v86.wasm?url';
import { openV86 } from '../../guest/v86/open-v86.ts';
import { pulseConfig } from '../../guest/v86/pulse-config.ts';
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
