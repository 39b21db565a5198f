// A machine's state while it runs: its pages go where they are told, its devices and disks become records of the same instant.

import type { DeviceRecord, PageTold, StreamedInstant } from '../../guest/guest.ts';
import type { DeviceState } from './device-state.ts';
import type { Disks } from './disks.ts';
import type { QemuHost } from './guest-options.ts';
import { type LiveMethod, streamLive } from './live-stream.ts';
import type { RamRange } from './physmap.ts';
import { StreamedMemory } from './streamed-memory.ts';

interface StreamedParts {
  readonly ranges: readonly RamRange[];
  readonly devices: DeviceState;
  readonly disks: Disks | undefined;
}

/** Throws what `streamLive` throws, and `guest-failed` where the stream lacks some of its memory. */
export async function streamMachine(
  { qmp, files }: QemuHost,
  { ranges, devices, disks }: StreamedParts,
  method: LiveMethod,
  told: PageTold,
  signal?: AbortSignal,
): Promise<StreamedInstant> {
  const memory = new StreamedMemory(ranges, devices.blockSizes, told);
  const ofDisks: DeviceRecord[] = [];
  const saveDisks = async (): Promise<void> => {
    ofDisks.push(...(await disks!.save()));
  };
  const atInstant = disks === undefined ? undefined : saveDisks;
  const { stream, pauseMs } = await streamLive(qmp, files.directory, method, memory, { signal, atInstant });
  memory.requireRam();
  return { devices: [...devices.recordsOfStream(stream, memory.blocks), ...ofDisks], pauseMs };
}
