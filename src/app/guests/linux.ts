// Opens Linux from the images that `npm run guests` built and the page's server serves.

import wasmUrl from 'v86/build/v86.wasm?url';
import { VitrineError } from '../../base/error.ts';
import { linuxConfig } from '../../guest/v86/linux.ts';
import { openV86, type V86Config } from '../../guest/v86/open-v86.ts';
import type { V86Guest } from '../../guest/v86/v86-guest.ts';
import { V86Steps } from '../../guest/v86/v86-steps.ts';
import type { GuestSpec, OpenedGuest } from '../../rpc/guest-host.ts';
import { consoleOfV86 } from './v86-console.ts';

/**
 * `options.images` is the address of the folder with the images, ending in a slash. With `options.deterministic` it does the
 * same again, and stands still until somebody runs it.
 */
export async function openLinux({ options }: GuestSpec): Promise<OpenedGuest> {
  const deterministic = options?.deterministic === true;
  const guest = await openPc(options, { deterministic });
  const console = consoleOfV86(guest);
  if (!deterministic) await guest.start();
  return { guest, console };
}

/** A Linux that does the same again, to be gone back and forth over. Interpreted, it boots in minutes. */
export async function openLinuxBySteps({ options }: GuestSpec): Promise<OpenedGuest> {
  const guest = await openPc(options, { deterministic: true });
  const console = consoleOfV86(guest);
  if (options?.deterministic !== true) await guest.start();
  return { guest, console, steps: new V86Steps(guest) };
}

async function openPc(options: GuestSpec['options'], change: Partial<V86Config>): Promise<V86Guest> {
  const folder = options?.images;
  if (typeof folder !== 'string') throw new VitrineError('argument-invalid', { name: 'options.images' });
  const image = (name: string) => ({ url: `${folder}${name}` });
  const images = {
    bios: image('bios'),
    vgaBios: image('vgabios'),
    kernel: image('vmlinuz'),
    initrd: image('initrd'),
  };
  return openV86(linuxConfig({ url: wasmUrl }, images, { memory: 'auto', ...change }));
}
