// Registers out of the device record of a processor (`cpu@0`). QEMU writes them big-endian at fixed places; its own
// description of the section, the same in 7.2 and 10.0, gives these for version 12:
//
//   | Offset | Size    | Field                                      |
//   |--------|---------|--------------------------------------------|
//   | 0      | 16 × 8  | rax rcx rdx rbx rsp rbp rsi rdi r8 … r15   |
//   | 128    | 8, 8    | rip, rflags                                |
//   | 456    | 4 × 8   | cr0, cr2, cr3, cr4                         |
//   | 816    | 8       | efer                                       |

import { VitrineError } from '../../base/error.ts';
import type { DeviceRecord } from '../../guest/guest.ts';
import { readRecord } from './device-records.ts';

const SECTION_NAME = 'cpu';
const SECTION_VERSION = 12;
const REGISTER_NAMES = [
  ...['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'],
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
];
const AT = { rip: 128, rflags: 136, cr0: 456, cr2: 464, cr3: 472, cr4: 480, efer: 816 } as const;
const MIN_BYTES = AT.efer + 8;

export interface CpuRegisters {
  /** Which processor. */
  readonly index: number;
  /** `rax` to `r15`. */
  readonly general: Readonly<Record<string, bigint>>;
  readonly rip: bigint;
  readonly rflags: bigint;
  readonly cr0: bigint;
  readonly cr2: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
}

/**
 * The registers of each processor, in order. Throws `unsupported` for a version of their state that is not known, and
 * `guest-state-invalid` for damaged records.
 */
export function registersIn(records: readonly DeviceRecord[]): CpuRegisters[] {
  const found: CpuRegisters[] = [];
  for (const record of records) {
    if (!record.name.startsWith(`${SECTION_NAME}@`)) continue;
    const read = readRecord(record);
    if (!('section' in read)) continue;
    const { instanceId: index, versionId, body } = read.section;
    if (versionId !== SECTION_VERSION || body.length < MIN_BYTES) {
      throw new VitrineError('unsupported', { missing: `processor state of version ${versionId}` });
    }
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    const word = (at: number): bigint => view.getBigUint64(at);
    found.push({
      index,
      general: Object.fromEntries(REGISTER_NAMES.map((name, at) => [name, word(8 * at)])),
      rip: word(AT.rip),
      rflags: word(AT.rflags),
      cr0: word(AT.cr0),
      cr2: word(AT.cr2),
      cr3: word(AT.cr3),
      cr4: word(AT.cr4),
      efer: word(AT.efer),
    });
  }
  return found.sort((a, b) => a.index - b.index);
}
