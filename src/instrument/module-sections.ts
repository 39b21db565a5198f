// A WebAssembly module as the list of its sections, and the two encodings that all of them are made of: LEB128
// integers and names. Sections that nobody asks for are passed on byte for byte.
//
//   | Offset | Size | Field                                          |
//   |--------|------|------------------------------------------------|
//   | 0      | 4    | `\0asm`                                        |
//   | 4      | 4    | version, 1                                     |
//   | 8      | …    | sections: id (1), length (LEB128), that many bytes |
//
// It does not validate a module: the engine that compiles the result does.

import { concatBytes, type OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';

const HEADER_BYTES = 8;
const HEADER = Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);

/** Section ids of the WebAssembly 2.0 specification, §5.5.2. */
export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  code: 10,
} as const;

/** The order in which sections stand, by id: tag (13) comes after memory, data count (12) after element. */
const ORDER = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

export interface Section {
  readonly id: number;
  readonly bytes: Uint8Array;
}

/** Throws `argument-invalid` when the bytes are not those of a module. */
export function readSections(module: Uint8Array): Section[] {
  if (module.length < HEADER_BYTES || HEADER.some((byte, i) => module[i] !== byte)) {
    throw new VitrineError('argument-invalid', { name: 'module', reason: 'not a WebAssembly module' });
  }
  const reader = new SectionReader(module, HEADER_BYTES);
  const sections: Section[] = [];
  while (!reader.atEnd) {
    const id = reader.byte();
    sections.push({ id, bytes: reader.bytes(reader.unsigned()) });
  }
  return sections;
}

export function writeSections(sections: readonly Section[]): OwnedBytes {
  const parts: Uint8Array[] = [HEADER];
  for (const { id, bytes } of sections) parts.push(Uint8Array.of(id), unsigned(bytes.length), bytes);
  return concatBytes(parts);
}

/** The section of that id, or undefined. */
export function findSection(sections: readonly Section[], id: number): Section | undefined {
  return sections.find((section) => section.id === id);
}

/** The sections with this one in its place, instead of the one of its id or as a new one. */
export function withSection(sections: readonly Section[], section: Section): Section[] {
  const present = sections.findIndex((one) => one.id === section.id);
  if (present >= 0) return sections.with(present, section);
  const place = ORDER.indexOf(section.id);
  const next = sections.findIndex((one) => ORDER.indexOf(one.id) > place);
  return sections.toSpliced(next < 0 ? sections.length : next, 0, section);
}

/** The section with these entries behind its own, or a new one. */
export function withMore(
  sections: readonly Section[],
  id: number,
  entries: readonly Uint8Array[],
): Section[] {
  const present = findSection(sections, id)?.bytes ?? Uint8Array.of(0);
  const reader = new SectionReader(present);
  const count = reader.unsigned();
  const bytes = concatBytes([unsigned(count + entries.length), present.subarray(reader.at), ...entries]);
  return withSection(sections, { id, bytes });
}

/** A vector: how many, then each. */
export function vector(items: readonly Uint8Array[]): OwnedBytes {
  return concatBytes([unsigned(items.length), ...items]);
}

/** An unsigned LEB128 integer below 2^32. */
export function unsigned(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return Uint8Array.from(bytes);
}

/** A name: its length, then its bytes. */
export function nameBytes(name: string): OwnedBytes {
  const bytes = new TextEncoder().encode(name);
  return concatBytes([unsigned(bytes.length), bytes]);
}

/** Reads what sections are made of. Throws `argument-invalid` past the end. */
export class SectionReader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get at(): number {
    return this.#at;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw truncated(this.#at);
    this.#at++;
    return byte;
  }

  bytes(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw truncated(this.#at);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** The bytes from `start` to here. */
  since(start: number): Uint8Array {
    return this.#bytes.subarray(start, this.#at);
  }

  /** An unsigned LEB128 integer, exact up to 2^53. */
  unsigned(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      if (scale > 2 ** 63) throw truncated(this.#at);
    }
  }

  /** Names of imports are many in modules made at run time, and most readers do not ask for them. */
  skipName(): void {
    this.bytes(this.unsigned());
  }

  name(): string {
    return new TextDecoder().decode(this.bytes(this.unsigned()).slice());
  }
}

export function truncated(offset: number): VitrineError {
  return new VitrineError('argument-invalid', { name: 'module', reason: 'ends inside a section', offset });
}
