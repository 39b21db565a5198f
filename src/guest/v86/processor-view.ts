// What a person reads of the processor at rest: its registers, and the bytes of its next instruction. For showing alone:
// nothing of it is saved or loaded.

import { CPU_BLOCK } from './v86-internals.ts';

const NAMES = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'] as const;

/** v86 holds the linear address: the base of the code segment is in it. */
const INSTRUCTION_POINTER = 556;
const CONTROL_REGISTER_0 = 580;
const PAGING = 1 << 31;
const PAGE_MASK = ~0xfff;
/** The longest instruction of an x86. */
const CODE_BYTES = 15;

export interface ProcessorView {
  readonly registers: readonly { readonly name: string; readonly value: number }[];
  /** From the next instruction on; empty where paging is on and its page was not looked up yet. */
  readonly code: Uint8Array;
}

/** `ram` is the machine's memory in the program's. */
export function viewProcessor(memory: ArrayBufferLike, ram: Uint8Array): ProcessorView {
  const words = new DataView(memory);
  const pointer = words.getInt32(INSTRUCTION_POINTER, true);
  const registers = NAMES.map((name, i) => ({ name, value: words.getUint32(CPU_BLOCK.start + 4 * i, true) }));
  const address = physicalOf(words, pointer);
  return {
    registers: [{ name: 'eip', value: pointer >>> 0 }, ...registers],
    code: address === undefined ? new Uint8Array(0) : ram.slice(address, address + CODE_BYTES),
  };
}

function physicalOf(words: DataView, pointer: number): number | undefined {
  if ((words.getInt32(CONTROL_REGISTER_0, true) & PAGING) === 0) return pointer >>> 0;
  if (words.getInt32(CPU_BLOCK.lastVirtualIp, true) !== (pointer & PAGE_MASK)) return undefined;
  return (words.getInt32(CPU_BLOCK.physicalIp, true) ^ pointer) >>> 0;
}
