// Registers as sessions see them: by the names of the processor's makers.

import type { ProcessorRegisters } from '../../bridge/host.ts';
import type { CpuRegisters } from '../qemu/cpu-record.ts';

/** One processor's, in the order that people know. */
export function namedRegisters({ index, general, ...others }: CpuRegisters): ProcessorRegisters {
  const all = { rip: others.rip, rflags: others.rflags, ...general };
  const { cr0, cr2, cr3, cr4, efer } = others;
  const registers = Object.entries({ ...all, cr0, cr2, cr3, cr4, efer });
  return { processor: index, registers: registers.map(([name, value]) => ({ name, value })) };
}
