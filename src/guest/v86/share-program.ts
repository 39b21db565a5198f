// Rewrites modules of v86 so that their memory is shared between threads: the program's own, which defines it, and the code
// that it compiles while it runs, which imports it. Only limits change; every instruction stays as it is.
//
//   memory section  `01 00 min`          → `01 03 min max`
//   import          `… 02 00 min`        → `… 02 03 min max`     max: the largest there is, so that any memory fits
//
// A step of its own over sections, after `track-program.ts` or without it. Limits: WebAssembly 3.0, §5.3.13.
//
// A shared memory needs a maximum, and takes address space for it at once, memory only as it is touched:
//
//   | What                                  | Bytes                                              |
//   |---------------------------------------|----------------------------------------------------|
//   | v86's own at start                    | 9.1 MiB, in the program's minimum                  |
//   | RAM, video memory                     | as configured                                      |
//   | pages copied aside by a live capture  | at most RAM again                                  |
//   | the rest                              | 128 MiB: pictures of up to 16 MiB, compiler, marks |

import { concatBytes, type OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import {
  findSection,
  readSections,
  SECTION,
  SectionReader,
  unsigned,
  withSection,
  writeSections,
} from '../../instrument/module-sections.ts';

const WASM_PAGE_BYTES = 65_536;
/** 4 GiB: the most that a memory of 32-bit addresses can have. */
const MAX_PAGES = 65_536;
/** Of the published program: what its memory begins with. */
const OWN_BYTES = 10 * MIB;
const REST_BYTES = 128 * MIB;

const HAS_MAXIMUM = 1;
/** Limits with a maximum, of a shared memory. */
const SHARED = 3;
const KIND = { function: 0, table: 1, memory: 2, global: 3 } as const;

/** The maximum that a machine needs, in pages of 64 KiB. */
export function sharedPagesFor(machine: {
  readonly memoryBytes: number;
  readonly vgaMemoryBytes: number;
}): number {
  const bytes = OWN_BYTES + 2 * machine.memoryBytes + machine.vgaMemoryBytes + REST_BYTES;
  return Math.min(Math.ceil(bytes / WASM_PAGE_BYTES), MAX_PAGES);
}

/**
 * v86's program with its memory shared, growing to so many pages of 64 KiB.
 *
 * Throws `argument-invalid` when the bytes are no module or it starts with more pages, `unsupported` when it is not a
 * module that defines one memory of its own.
 */
export function shareProgram(program: Uint8Array, maximumPages: number): OwnedBytes {
  const sections = readSections(program);
  const memory = findSection(sections, SECTION.memory);
  if (memory === undefined) throw new VitrineError('unsupported', { missing: 'v86: a memory of its own' });
  const reader = new SectionReader(memory.bytes);
  const count = reader.unsigned();
  const flags = reader.byte();
  const minimum = reader.unsigned();
  if (count !== 1 || (flags !== 0 && flags !== HAS_MAXIMUM)) {
    throw new VitrineError('unsupported', { missing: 'v86: one memory with plain limits' });
  }
  if (minimum > maximumPages) {
    throw new VitrineError('argument-invalid', { name: 'maximumPages', value: maximumPages, least: minimum });
  }
  const bytes = concatBytes([Uint8Array.of(1), sharedLimits(minimum, maximumPages)]);
  return writeSections(withSection(sections, { id: SECTION.memory, bytes }));
}

/** Code that v86 compiled, so that it takes a shared memory. Throws `unsupported` when it imports none. */
export function shareCode(code: Uint8Array): OwnedBytes {
  const sections = readSections(code);
  const imports = findSection(sections, SECTION.import);
  const parts = imports === undefined ? [] : splitAtMemory(imports.bytes);
  if (parts.length === 0) throw new VitrineError('unsupported', { missing: 'v86: code that imports memory' });
  return writeSections(withSection(sections, { id: SECTION.import, bytes: concatBytes(parts) }));
}

/** The import section in parts, with the limits of its memory replaced; none when it has no memory. */
function splitAtMemory(section: Uint8Array): Uint8Array[] {
  const reader = new SectionReader(section);
  const count = reader.unsigned();
  for (let i = 0; i < count; i++) {
    reader.bytes(reader.unsigned());
    reader.bytes(reader.unsigned());
    const kind = reader.byte();
    if (kind === KIND.memory) {
      const before = section.subarray(0, reader.at);
      const minimum = skipLimits(reader);
      return [before, sharedLimits(minimum, MAX_PAGES), section.subarray(reader.at)];
    }
    if (kind === KIND.function) reader.unsigned();
    else if (kind === KIND.global) reader.bytes(2);
    else {
      if (kind !== KIND.table) return [];
      reader.byte();
      skipLimits(reader);
    }
  }
  return [];
}

/** Reads past limits; returns their minimum. */
function skipLimits(reader: SectionReader): number {
  const flags = reader.byte();
  const minimum = reader.unsigned();
  if (flags & HAS_MAXIMUM) reader.unsigned();
  return minimum;
}

function sharedLimits(minimum: number, maximum: number): OwnedBytes {
  return concatBytes([Uint8Array.of(SHARED), unsigned(minimum), unsigned(maximum)]);
}
