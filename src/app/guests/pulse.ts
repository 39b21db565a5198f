// Opens Pulse: a PC whose ROM is the program, so that nothing but v86 itself is loaded.

import wasmUrl from 'v86/build/v86.wasm?url';
import { openV86 } from '../../guest/v86/open-v86.ts';
import { pulseConfig } from '../../guest/v86/pulse-config.ts';
import type { OpenedGuest } from '../../rpc/guest-host.ts';
import { consoleOfV86 } from './v86-console.ts';

export async function openPulse(): Promise<OpenedGuest> {
  const guest = await openV86(pulseConfig({ url: wasmUrl }, { memory: 'auto' }));
  const console = consoleOfV86(guest);
  await guest.start();
  return { guest, console };
}
