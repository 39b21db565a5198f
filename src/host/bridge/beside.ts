// A restore into a new process, and the machine that runs meanwhile. Where there is room for two, the new one is made beside it, and it ends
// once that one holds the snapshot: what keeps the new one from it, be it that its state cannot be loaded, costs nothing then.
//
//   same machine? ─▶ files of its disks there? ─▶ room for another memory, and nothing that only one process can have? ─▶ beside it
//                                                                                                       └─ no ─▶ after it
//
// Where it is memory alone that there is not enough of, the state is tried first, in a process whose memory comes as loading touches it, which
// is little; where it cannot come so, a process is tried without its state.

import { isVitrineError } from '../../base/error.ts';
import { checkSameMachine, type SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { type LazyMachineOptions, openLazyMachine } from '../qemu/lazy-machine.ts';
import { hasMemoryFor } from '../qemu/live-room.ts';
import { mirrorBytesOf } from '../qemu/open-tracker.ts';
import { reachesOutside } from '../qemu/outside-arguments.ts';
import { filesIn, type QemuProfile, resolveProfile } from '../qemu/profile.ts';
import type { QemuGuest } from '../qemu/qemu-guest.ts';
import { inMemoryFiles, memoryFilesOf, openRunRoot } from '../qemu/run-directory.ts';
import { readSavedMachine, type SavedMachine } from '../qemu/saved-machine.ts';
import { launchWaiting } from '../qemu/waiting-process.ts';
import { SpareRoom } from './spare-room.ts';

/** No machine is called so. */
const TRIED = '_tried';

export interface FreshRestore {
  readonly engine: Vitrine;
  readonly snapshot: SnapshotId;
  readonly mode: 'fresh' | 'lazy';
  readonly profile: QemuProfile;
  /** The machine that is to end; undefined while its memory is on its way. */
  readonly guest: QemuGuest | undefined;
  /** Where the files of its process are; undefined where none runs. */
  readonly directory: string | undefined;
  readonly options: LazyMachineOptions;
}

/** Memory that new ones take, which are being made: those of a whole class may be restored at once. */
const spare = new SpareRoom();

/**
 * Does the work of a restore, which hears whether the new one may be made beside the machine that runs. One whose memory is on its way has
 * to end first.
 *
 * Throws what the work does, and before it what would keep the new one from starting: `guest-start`, `guest-mismatch`,
 * `guest-state-invalid`, `disk-missing`, `disk-changed`, `unsupported`, and what reading the snapshot throws.
 */
export async function besideOrAfter<T>(
  restore: FreshRestore,
  work: (isBeside: boolean) => Promise<T>,
): Promise<T> {
  const bytes = await bytesBeside(restore);
  try {
    return await work(bytes > 0);
  } finally {
    spare.giveBack(bytes);
  }
}

/** Takes room for a second one, so many bytes of the host's memory; 0 where it cannot be. */
async function bytesBeside(restore: FreshRestore): Promise<number> {
  const { engine, snapshot, mode, profile, guest, directory, options } = restore;
  const resolved = resolveProfile(profile);
  const { id, manifest } = await engine.show(snapshot);
  if (directory === undefined) return 0;
  if (guest !== undefined) checkSameMachine(manifest, guest.machine, guest.regions);
  const saved = await readSavedMachine(engine, id, resolved);
  const root = await openRunRoot(options.root);
  if (mode === 'lazy') {
    // As it will be when the first is gone. Where there is no room, RAM would lie on a disk.
    const givenBack = await memoryFilesOf(filesIn(directory));
    await inMemoryFiles(await openRunRoot(options.root, Math.max(0, resolved.memoryBytes - givenBack)));
  }
  if (guest === undefined || reachesOutside(profile.args ?? []) !== undefined) return 0;
  const { memoryBytes } = resolved;
  const bytes = memoryBytes + mirrorBytesOf(memoryBytes);
  let isShort = false;
  const isTaken = await spare.take(bytes, async (takenBytes) => {
    if (!(await hasRoom(options.root, root, memoryBytes + takenBytes))) return false;
    isShort = !hasMemoryFor(bytes + takenBytes);
    return !isShort;
  });
  if (isTaken) return bytes;
  if (isShort) await tryOut(restore, saved);
  return 0;
}

/** Starts one, while the other runs, that takes next to none of the host's memory: what would keep the new one from starting is thrown. */
async function tryOut(
  { engine, profile, options: { root, disks } }: FreshRestore,
  { id, disks: standsOn }: SavedMachine,
): Promise<void> {
  const own = root === undefined ? {} : { root };
  try {
    const options = { ...own, ...(disks && { disks }), onlyTouched: true };
    await (await openLazyMachine(TRIED, profile, engine, id, options)).close();
  } catch (error) {
    if (!isVitrineError(error, 'unsupported')) throw error;
    await (await launchWaiting(TRIED, { ...own, profile, ram: 'there', disks, standsOn })).end();
  }
}

/** Whether a second memory would be where the first is. */
async function hasRoom(root: string | undefined, path: string, ramBytes: number): Promise<boolean> {
  try {
    return (await openRunRoot(root, ramBytes)) === path;
  } catch (error) {
    if (isVitrineError(error, 'memory-exhausted')) return false;
    throw error;
  }
}
