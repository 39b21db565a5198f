// Starting a process with the disks that are saved with its machine.

import type { Disks } from './disks.ts';
import { type LaunchOptions, launchQemu, type QemuProcess } from './process.ts';
import type { QemuProfile } from './profile.ts';
import { nameOf } from './run-directory.ts';

/** Starts a process with its disks. Throws as `launchQemu`; no layer is left behind then. */
export async function launchWith(
  disks: Disks | undefined,
  name: string,
  profile: QemuProfile,
  options: LaunchOptions,
): Promise<QemuProcess> {
  const args = [...(disks?.arguments ?? []), ...(profile.args ?? [])];
  try {
    const process = await launchQemu(name, { ...profile, args }, options);
    await disks?.attach(process.qmp, await nameOf(process.pid));
    return process;
  } catch (error) {
    await disks?.close();
    throw error;
  }
}
