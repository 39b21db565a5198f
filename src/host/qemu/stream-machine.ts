// A machine's state while it runs: its pages go where they are told, its devices and disks become records of the same instant.
//
// Of a clone the process sends everything as of any machine. What it never wrote is left out here, since its image holds that: a page
// that the kernel does not tell as the process's own, when it comes, was not written at any instant before.
//
// Streaming has its price. Of a Pulse of 512 MiB that had written 260 pages, a save at rest stopped it for 4 ms and a stream for 17, since
// the kernel is asked to watch all of its memory; and with that mapped, each look at what it wrote took 8 ms more from then on. One that
// had written all of 256 MiB rested for 200 to 480 ms, and for 10 to 33 with a stream. So a clone that wrote little is saved at rest.

import { isVitrineError } from '../../base/error.ts';
import type { DeviceRecord, PageTold, StreamedInstant } from '../../guest/guest.ts';
import type { PageSet } from '../../memory/page-set.ts';
import { NOBODY_WAITS } from './bell-line.ts';
import { CloneRam } from './clone-ram.ts';
import type { DeviceState } from './device-state.ts';
import type { Disks } from './disks.ts';
import type { QemuHost } from './guest-options.ts';
import type { LiveVerdict } from './live-proof.ts';
import { whyNoRoom } from './live-room.ts';
import { streamLive } from './live-stream.ts';
import type { RamRange } from './physmap.ts';
import type { Ram } from './process-ram.ts';
import type { RamMarks } from './ram-marks.ts';
import { type KnownPage, StreamedMemory } from './streamed-memory.ts';

const PAGE_BYTES = 4096;
/** Of its own a clone is read so many pages, and one in so many of all, before a stream would let it go on. */
const FEW_PAGES = 512;
const FEW_OF_ALL = 64;

export interface StreamedParts {
  readonly ranges: readonly RamRange[];
  readonly ram: Ram;
  readonly marks: RamMarks;
  readonly devices: DeviceState;
  readonly disks: Disks | undefined;
  readonly live: () => Promise<LiveVerdict>;
}

export interface StreamedAsked {
  readonly signal: AbortSignal | undefined;
  /** As in `Guest.streamInstant`. */
  readonly suspects: readonly (PageSet | null)[] | undefined;
}

/**
 * Streams a machine that runs, or tells why it cannot be done now. Throws what `streamLive` throws, and `guest-failed` where the
 * stream lacks some of its memory.
 */
export async function streamMachine(
  { qmp, files, profile, bell }: QemuHost,
  { ranges, ram, marks, devices, disks, live }: StreamedParts,
  told: PageTold,
  { signal, suspects }: StreamedAsked,
): Promise<StreamedInstant | { readonly reason: string }> {
  await bell?.untilTaken();
  if (bell?.ring !== undefined) return { reason: 'a program in it waits for its doorbell' };
  const why = whyRest(ram, marks, devices);
  if (why !== undefined) return { reason: why };
  // An image lies where run directories do.
  const { untouchedBytes = profile.memoryBytes - ram.usedBytes } = ram;
  const noRoom = whyNoRoom(files.directory, untouchedBytes);
  if (noRoom !== undefined) return { reason: noRoom };
  const { method, because } = await live();
  if (method === undefined) return { reason: because };
  devices.forget();
  const isKnown = knownPages(marks, suspects);
  const memory = new StreamedMemory(ranges, devices.blockSizes, told, isKnown);
  const ofDisks: DeviceRecord[] = [];
  const saveDisks = async (): Promise<void> => {
    ofDisks.push(...(await disks!.save()));
  };
  const atInstant = disks === undefined ? undefined : saveDisks;
  try {
    const { stream, pauseMs } = await streamLive(qmp, files.directory, method, memory, { signal, atInstant });
    memory.requireRam();
    // Everything was told: from now on what it writes says it all.
    if (isKnown === undefined) marks.knowOrigin?.();
    const waits = bell === undefined ? [] : [NOBODY_WAITS];
    return { devices: [...devices.recordsOfStream(stream, memory.blocks), ...ofDisks, ...waits], pauseMs };
  } catch (error) {
    // It was right elsewhere: RAM of this machine lies in another file system, or in a file of another kind.
    if (!isVitrineError(error, 'guest-failed') || error.data.command !== 'migrate-set-capabilities')
      throw error;
    return { reason: String(error.data.said) };
  }
}

/** Why the machine rests for less time than its stream would take of it; undefined where it does not, or nobody knows. */
function whyRest(ram: Ram, { isUnwritten }: RamMarks, { isQuick }: DeviceState): string | undefined {
  if (!(ram instanceof CloneRam) || isUnwritten === undefined || !isQuick) return undefined;
  const { size: count } = ram.writtenPages(0, ram.sizeBytes);
  if (count > FEW_PAGES + ram.sizeBytes / PAGE_BYTES / FEW_OF_ALL) return undefined;
  return `a rest is shorter: it wrote ${count} pages since it stands on its image`;
}

/** Pages that need not be told; undefined where all have to be. */
function knownPages(
  { isUnwritten }: RamMarks,
  suspects: readonly (PageSet | null)[] | undefined,
): KnownPage | undefined {
  if (isUnwritten === undefined || suspects === undefined) return undefined;
  return (region, page) => {
    const those = suspects[region] ?? null;
    return those !== null && !those.has(page) && isUnwritten(region, page);
  };
}
