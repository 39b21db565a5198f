// Which way a machine's RAM is read and written: its file, or in its process, on top of the image that it was cloned from.

import { CloneRam } from './clone-ram.ts';
import type { QemuGuestOptions, QemuHost } from './guest-options.ts';
import { openProcessRam, type Ram } from './process-ram.ts';
import { RamFile } from './ram-file.ts';

/** Throws `unsupported` where the process may not be looked into, `guest-failed` where RAM is not where it has to be. */
export async function openRam(
  { qmp, pid, profile, files }: QemuHost,
  { ram, origin }: QemuGuestOptions,
): Promise<Ram> {
  if (ram !== 'private') return new RamFile(files.ram, profile.memoryBytes);
  const own = await openProcessRam(qmp, pid, profile.memoryBytes);
  if (origin === undefined) return own;
  try {
    return new CloneRam(own, origin);
  } catch (error) {
    own.close();
    throw error;
  }
}
