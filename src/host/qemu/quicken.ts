// Making resets of a machine quick: it goes on in a fresh process that maps an image of its RAM privately, as a clone does, so that a
// reset looks at the pages that it wrote since and at no others.
//
//   rests ─▶ devices, disks ─▶ its RAM file is the image ─▶ new process loads the devices ─▶ the old one ends ─▶ runs on
//
// Its RAM is not copied: the file that the old process shared is what the new one stands on, and nobody writes to it any more. Of a machine
// that stands on an image already and wrote much since, a new image is written. To the guest nothing happens; outside, its process is
// another one. All or nothing: until the new process has loaded the devices and was found to be the same machine, the old one is there and
// goes on where anything fails.

import { copyFile, link, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import { type CloneOrigin, CloneRam, type LoadedState } from './clone-ram.ts';
import { type Disks, openDisks } from './disks.ts';
import type { GuestAtRest } from './guest-options.ts';
import { deviceStream, sendStream } from './incoming-state.ts';
import { launchWith } from './launch-with.ts';
import { proveLiveOf } from './live-proof.ts';
import { provePageMap } from './page-map-proof.ts';
import type { QemuProcess } from './process.ts';
import { ProcessRam } from './process-ram.ts';
import { givesMemoryBack, type QemuProfile } from './profile.ts';
import { openQemuGuest, type QemuGuest } from './qemu-guest.ts';
import { RamFile } from './ram-file.ts';
import { writeRamImage } from './ram-image.ts';
import { nameOf } from './run-directory.ts';
import { RunIntent } from './run-intent.ts';
import { savedDevices } from './saved-machine.ts';
import { connectSerial, type SerialLine } from './serial-line.ts';

/** Pages of its own from which a new image pays: a reset looks at each for some microseconds. */
const MANY_PAGES = 2048;
/** The image, where it has to be written. */
const IMAGE_FILE = 'image';

export interface QuickenReport {
  /** Whether it goes on in another process. */
  readonly moved: boolean;
  /** What a reset looks at now, for people. */
  readonly because: string;
  /** How long it rested, in milliseconds. */
  readonly pauseMs: number;
}

/** A machine that is to move. */
export interface MovingMachine {
  /** As in `LaunchOptions`. */
  readonly root: string | undefined;
  /** As in `QemuGuestOptions`. */
  readonly quickSave: boolean;
  readonly restoreFault: string | undefined;
  readonly name: string;
  /** What it was made of, without what its disks and its way of starting added. */
  readonly profile: QemuProfile;
  readonly process: QemuProcess;
  readonly guest: QemuGuest;
  readonly disks: Disks | undefined;
  /** As in `QemuMachineOptions`. */
  readonly keptFor: string | undefined;
}

/** Where it went. */
export interface MovedMachine {
  readonly process: QemuProcess;
  readonly disks: Disks | undefined;
  readonly serial: SerialLine;
}

/** Why a machine need not move; undefined when resets would be quicker if it did. */
export function quickBecause({ ram, regions, traits }: QemuGuest): string | undefined {
  if (traits.tracking !== 'marks') return undefined;
  if (!(ram instanceof CloneRam || ram instanceof ProcessRam))
    return traits.trackingSource ?? 'what it writes is told';
  const ramBytes = regions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const { size: count } = ram.writtenPages(0, ramBytes);
  if (count > MANY_PAGES) return undefined;
  return `a reset looks at what it wrote since it stands on its image, ${count} pages so far`;
}

/**
 * Moves it. `moved` is called at the point of no return, when the machine is there and the process before still is; it ends that one.
 * How long it rested, in milliseconds.
 *
 * Throws `unsupported` with what is missing, `busy`, `guest-start` with what QEMU said of a second process with its arguments, as where
 * they name a port; `memory-exhausted`, `guest-failed`. The machine goes on as it was then.
 */
export async function moveMachine(
  machine: MovingMachine,
  moved: (next: MovedMachine) => Promise<void>,
): Promise<number> {
  const { name, process: before, guest, keptFor: home, quickSave, restoreFault } = machine;
  await requireMovable(before, machine.root);
  let next: MovedMachine | undefined;
  const open = async (at: GuestAtRest): Promise<QemuGuest> => {
    const { process, disks, origin, loaded } = await startInPlace(machine, at);
    let serial: SerialLine | undefined;
    try {
      const intent = new RunIntent(process.files.intent);
      const live = () => proveLiveOf(process);
      const options = {
        quickSave,
        restoreFault,
        disks,
        intent,
        ram: 'private',
        origin,
        loaded,
        live,
      } as const;
      serial = await connectSerial(process.files);
      const there = await openQemuGuest(process, options);
      requireSame(guest, there);
      if (home !== undefined) {
        const inPlaceOf = await nameOf(before.pid);
        const { profile } = machine;
        await process.keep(name, { home, profile, ram: 'private', disks: disks?.options ?? null, inPlaceOf });
      }
      next = { process, disks, serial };
      return there;
    } catch (error) {
      serial?.close();
      await end(process, disks);
      throw error;
    }
  };
  // Safe: what `open` made is there by the time that it is the machine.
  return guest.move(open, async () => {
    await next!.process.takeBell(before);
    await moved(next!);
  });
}

/** Throws `unsupported`. */
async function requireMovable({ profile }: QemuProcess, root: string | undefined): Promise<void> {
  // It makes holes in the image itself: pages that it never wrote would be zeros, and nothing would tell of it.
  if (givesMemoryBack(profile)) {
    throw new VitrineError('unsupported', { missing: 'quick resets of a machine with a balloon' });
  }
  const { works, because } = await provePageMap(profile, root);
  if (!works)
    throw new VitrineError('unsupported', { missing: 'a kernel that tells what was written', because });
}

/** A process that rests as the machine does, with its RAM, devices and disks. */
async function startInPlace(
  { name, profile, process: before, disks: disksBefore }: MovingMachine,
  { records, ram }: GuestAtRest,
): Promise<{
  process: QemuProcess;
  disks: Disks | undefined;
  origin: CloneOrigin;
  loaded: LoadedState;
}> {
  const { machine, memoryBytes } = before.profile;
  const saved = savedDevices(records, machine, memoryBytes);
  let image = before.files.ram;
  if (!(ram instanceof RamFile)) {
    image = join(before.files.directory, IMAGE_FILE);
    await rm(image, { force: true });
    const piece = (offset: number, lengthBytes: number): Uint8Array => {
      const bytes = new Uint8Array(lengthBytes);
      ram.read(offset, bytes);
      return bytes;
    };
    await writeRamImage(image, memoryBytes, piece);
  }
  const disks = disksBefore && (await openDisks(disksBefore.options.files, disksBefore.options.folder));
  let process: QemuProcess | undefined;
  try {
    await disks?.standOn(saved.disks);
    const args = [...(profile.args ?? []), '-incoming', 'defer'];
    // Beside the one before, whose files it takes over: another place may be another file system.
    const root = dirname(before.files.directory);
    process = await launchWith(disks, name, { ...profile, args, ramImage: image }, { root });
    // What it printed, for its next owner; QEMU appends to it.
    await copyFile(before.files.serialLog, process.files.serialLog);
    await sendStream(process, deviceStream(saved));
    // The directory of the process before goes with that.
    await link(image, process.files.ram);
    const loaded = { sections: saved.sections, blocks: saved.contents };
    return { process, disks, origin: { image, isAlone: true }, loaded };
  } catch (error) {
    await end(process, disks);
    throw error;
  }
}

async function end(process: QemuProcess | undefined, disks: Disks | undefined): Promise<void> {
  process?.kill();
  await process?.close();
  await disks?.close();
}

/** It was made from the same arguments; that it became the same machine is looked at all the same. */
function requireSame(before: QemuGuest, next: QemuGuest): void {
  const shape = ({ machine, regions }: QemuGuest): string => JSON.stringify([machine, regions]);
  if (shape(before) !== shape(next)) {
    throw new VitrineError('guest-failed', { reason: 'the second process is another machine' });
  }
}
