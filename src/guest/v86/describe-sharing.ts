// Whether a machine's memory can be read by other workers, why not, and where it lies: RAM and video memory, which v86
// allocates when the machine is made and never moves. Disk images are buffers of v86's own and are not shared.

import type { Region } from '../../memory/region.ts';
import { isShared, type SharedMemory, type SharedRegion } from '../../memory/shared-memory.ts';
import type { GuestTraits } from '../guest.ts';
import { programOf } from './tracked-wasm.ts';
import type { V86Cpu, V86View } from './v86-internals.ts';

/** The traits that speak of it. */
export function describeSharing(cpu: V86Cpu): Pick<GuestTraits, 'sharedMemory' | 'sharedMemoryReason'> {
  if (isShared(cpu.wasm_memory.buffer)) return { sharedMemory: true };
  const reason = programOf(cpu.wm.exports)?.unshared ?? 'the program was compiled without it';
  return { sharedMemory: false, sharedMemoryReason: reason };
}

/** Where the regions lie; undefined when the memory is not shared. */
export function sharedMemoryOf(cpu: V86Cpu, regions: readonly Region[]): SharedMemory | undefined {
  const { buffer } = cpu.wasm_memory;
  if (!isShared(buffer)) return undefined;
  const views: Readonly<Record<string, V86View>> = { ram: cpu.mem8, 'vga.vram': cpu.devices.vga.svga_memory };
  const found: SharedRegion[] = [];
  for (const { id, name, sizeBytes } of regions) {
    const view = views[name];
    if (view !== undefined) found.push({ region: id, buffer, offsetBytes: view.byteOffset, sizeBytes });
  }
  return { regions: found };
}
