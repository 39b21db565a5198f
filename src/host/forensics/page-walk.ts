// Virtual addresses to physical ones, by x86's page tables as they lie in memory. Intel's manual, volume 3, chapter 4.
//
//   none    virtual = physical
//   32-bit  10 | 10 | 12          tables of 4-byte entries; with PSE an upper entry can map 4 MiB
//   pae     2 | 9 | 9 | 12        tables of 8-byte entries; 2 MiB
//   4, 5    (9 |) 9 | 9 | 9 | 9 | 12   2 MiB and 1 GiB

import { VitrineError } from '../../base/error.ts';
import type { PhysicalMemory } from './physical-memory.ts';

/** Where a walk begins, and how it goes. */
export interface AddressSpace {
  readonly paging: 'none' | '32-bit' | 'pae' | '4-level' | '5-level';
  /** Physical address of the top table. */
  readonly root: number;
  /** 4 MiB pages, in 32-bit tables. */
  readonly pse?: boolean;
}

/** What decides about paging in a processor. */
export interface ControlRegisters {
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
}

const PRESENT = 1n;
const LARGE = 1n << 7n;
const CR0_PAGING = 1n << 31n;
const CR4_PSE = 1n << 4n;
const CR4_PAE = 1n << 5n;
const CR4_LA57 = 1n << 12n;
const EFER_LMA = 1n << 10n;
/** Physical address bits of an 8-byte entry. */
const ADDRESS_BITS = 0x000f_ffff_ffff_f000n;

/** The address space a processor is in. */
export function addressSpaceOf({ cr0, cr3, cr4, efer }: ControlRegisters): AddressSpace {
  if ((cr0 & CR0_PAGING) === 0n) return { paging: 'none', root: 0 };
  if ((efer & EFER_LMA) !== 0n) {
    const paging = (cr4 & CR4_LA57) !== 0n ? '5-level' : '4-level';
    return { paging, root: Number(cr3 & ADDRESS_BITS) };
  }
  if ((cr4 & CR4_PAE) !== 0n) return { paging: 'pae', root: Number(cr3 & 0xffff_ffe0n) };
  return { paging: '32-bit', root: Number(cr3 & 0xffff_f000n), pse: (cr4 & CR4_PSE) !== 0n };
}

/** A virtual address in RAM, and how many bytes follow it there in the same page. */
export interface Translation {
  readonly address: number;
  readonly lengthBytes: number;
}

/** Undefined where nothing is mapped, or a table lies outside RAM. */
export async function translate(
  memory: PhysicalMemory,
  space: AddressSpace,
  virtual: bigint,
): Promise<Translation | undefined> {
  try {
    return await walk(memory, space, virtual);
  } catch (error) {
    if (error instanceof VitrineError && error.code === 'span-out-of-range') return undefined;
    throw error;
  }
}

async function walk(
  memory: PhysicalMemory,
  { paging, root, pse = false }: AddressSpace,
  virtual: bigint,
): Promise<Translation | undefined> {
  switch (paging) {
    case 'none':
      return { address: Number(virtual), lengthBytes: 4096 - Number(virtual & 0xfffn) };
    case '32-bit':
      return walk32(memory, root, virtual, pse);
    case 'pae':
      if (virtual >> 32n !== 0n) return undefined;
      return walk64(memory, root, virtual, [30, 21, 12], 2);
    case '4-level':
      return isCanonical(virtual, 48) ? walk64(memory, root, virtual, [39, 30, 21, 12], 9) : undefined;
    case '5-level':
      return isCanonical(virtual, 57) ? walk64(memory, root, virtual, [48, 39, 30, 21, 12], 9) : undefined;
  }
}

async function walk32(
  memory: PhysicalMemory,
  root: number,
  virtual: bigint,
  pse: boolean,
): Promise<Translation | undefined> {
  if (virtual >> 32n !== 0n) return undefined;
  const upper = await wordAt(memory, root + 4 * Number((virtual >> 22n) & 0x3ffn), 4);
  if ((upper & PRESENT) === 0n) return undefined;
  if (pse && (upper & LARGE) !== 0n) {
    // Bits 13 to 20 are bits 32 to 39 of the address (PSE-36).
    const high = ((upper >> 13n) & 0xffn) << 32n;
    return inPage((upper & 0xffc0_0000n) | high, virtual, 22);
  }
  const lower = await wordAt(memory, Number(upper & 0xffff_f000n) + 4 * Number((virtual >> 12n) & 0x3ffn), 4);
  return (lower & PRESENT) === 0n ? undefined : inPage(lower & 0xffff_f000n, virtual, 12);
}

/** Tables of 8-byte entries. `shifts` are the levels' positions; the top one has `topBits` bits. */
async function walk64(
  memory: PhysicalMemory,
  root: number,
  virtual: bigint,
  shifts: readonly number[],
  topBits: number,
): Promise<Translation | undefined> {
  let table = root;
  for (const [level, shift] of shifts.entries()) {
    const bits = level === 0 ? topBits : 9;
    const index = Number((virtual >> BigInt(shift)) & ((1n << BigInt(bits)) - 1n));
    const entry = await wordAt(memory, table + 8 * index, 8);
    if ((entry & PRESENT) === 0n) return undefined;
    const base = entry & ADDRESS_BITS;
    // 1 GiB and 2 MiB; the same bit means nothing in other levels, and in a top entry of PAE it is reserved.
    const canBeLarge = shift === 21 || (shift === 30 && topBits === 9);
    if (shift === 12 || (canBeLarge && (entry & LARGE) !== 0n)) return inPage(base, virtual, shift);
    table = Number(base);
  }
  return undefined;
}

function inPage(base: bigint, virtual: bigint, shift: number): Translation {
  const size = 1n << BigInt(shift);
  const offset = virtual & (size - 1n);
  return { address: Number((base & ~(size - 1n)) | offset), lengthBytes: Number(size - offset) };
}

/** Upper bits repeat the highest one that is used. */
function isCanonical(virtual: bigint, bits: number): boolean {
  return BigInt.asUintN(64, BigInt.asIntN(bits, virtual)) === virtual;
}

async function wordAt(memory: PhysicalMemory, address: number, lengthBytes: 4 | 8): Promise<bigint> {
  const bytes = await memory.read(address, lengthBytes);
  const view = new DataView(bytes.buffer);
  return lengthBytes === 4 ? BigInt(view.getUint32(0, true)) : view.getBigUint64(0, true);
}
