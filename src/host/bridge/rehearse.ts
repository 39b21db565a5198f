// A restore into a new process, tried while the machine still runs: its process ends before the new one goes on, since two would fight for
// one disk and need room for two memories. What would keep the new one from starting is found before that: a snapshot of another machine, a
// disk's file that changed, a kernel that is gone, arguments that QEMU does not take any more, a place where lazy RAM cannot be.
//
//   same machine? ─▶ a process with its arguments and disks, which waits for a state ─▶ ended, or left as a spare for the lazy one
//
// What is not tried is loading the state itself. Nothing is changed.

import { isVitrineError } from '../../base/error.ts';
import { checkSameMachine, type SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { type LazyMachineOptions, spareLazyMachine } from '../qemu/lazy-machine.ts';
import { reachesOutside } from '../qemu/outside-arguments.ts';
import { filesIn, type QemuProfile, resolveProfile } from '../qemu/profile.ts';
import type { QemuGuest } from '../qemu/qemu-guest.ts';
import { inMemoryFiles, memoryFilesOf, openRunRoot } from '../qemu/run-directory.ts';
import { readSavedMachine } from '../qemu/saved-machine.ts';
import { launchWaiting } from '../qemu/waiting-process.ts';

/** No machine is called so. */
const NAME = '_rehearsal';

export interface RehearsedRestore {
  readonly engine: Vitrine;
  readonly snapshot: SnapshotId;
  readonly mode: 'fresh' | 'lazy';
  readonly profile: QemuProfile;
  /** The machine that would end; undefined while its memory is on its way. */
  readonly guest: QemuGuest | undefined;
  /** Where the files of its process are. */
  readonly directory: string;
  readonly options: LazyMachineOptions;
}

/**
 * Throws what `QemuHostMachine.restore` would throw: `guest-mismatch`, `guest-state-invalid`, `disk-missing`, `disk-changed`, `guest-start`,
 * `unsupported`, and what reading the snapshot throws.
 */
export async function rehearse(restore: RehearsedRestore): Promise<void> {
  const { engine, snapshot, mode, profile, guest, directory, options } = restore;
  const resolved = resolveProfile(profile);
  const { id, manifest } = await engine.show(snapshot);
  if (guest !== undefined) checkSameMachine(manifest, guest.machine, guest.regions);
  const saved = await readSavedMachine(engine, id, resolved);
  const root = await openRunRoot(options.root);
  if (mode === 'lazy') {
    // As it will be when the first is gone. Where there is no room, RAM would lie on a disk.
    const givenBack = await memoryFilesOf(filesIn(directory));
    await inMemoryFiles(await openRunRoot(options.root, Math.max(0, resolved.memoryBytes - givenBack)));
  }
  // Two of them would be in each other's way, or there is room for a second one once the first is gone.
  if (reachesOutside(profile.args ?? []) !== undefined) return;
  if (!(await hasRoom(options.root, root, resolved.memoryBytes))) return;
  const { spares } = options;
  if (mode === 'lazy' && spares !== undefined) {
    return spareLazyMachine(profile, engine, id, { ...options, spares });
  }
  const shape = { profile, ram: 'there', disks: options.disks, standsOn: saved.disks } as const;
  const own = options.root === undefined ? {} : { root: options.root };
  await (await launchWaiting(NAME, { ...shape, ...own })).end();
}

/** Whether a second machine would be where the first is. */
async function hasRoom(root: string | undefined, path: string, ramBytes: number): Promise<boolean> {
  try {
    return (await openRunRoot(root, ramBytes)) === path;
  } catch (error) {
    if (isVitrineError(error, 'memory-exhausted')) return false;
    throw error;
  }
}
