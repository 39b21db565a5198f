// What a reader needs of an ELF core of 64 bits; it shares nothing with what writes them.

export interface ElfSegment {
  readonly address: number;
  readonly bytes: Buffer;
}

export interface ElfNote {
  readonly name: string;
  readonly body: Buffer;
}

export interface ElfCore {
  /** By their physical addresses, in order. */
  readonly loads: readonly ElfSegment[];
  readonly notes: readonly ElfNote[];
}

const LOAD = 1;
const NOTE = 4;

export function readElfCore(file: Buffer): ElfCore {
  if (file.toString('latin1', 0, 4) !== '\x7fELF' || file[4] !== 2) throw new Error('no ELF of 64 bits');
  const at = Number(file.readBigUInt64LE(32));
  const size = file.readUInt16LE(54);
  const loads: ElfSegment[] = [];
  const notes: ElfNote[] = [];
  for (let index = 0; index < file.readUInt16LE(56); index++) {
    const header = file.subarray(at + index * size, at + (index + 1) * size);
    const offset = Number(header.readBigUInt64LE(8));
    const bytes = file.subarray(offset, offset + Number(header.readBigUInt64LE(32)));
    if (header.readUInt32LE(0) === LOAD) loads.push({ address: Number(header.readBigUInt64LE(24)), bytes });
    if (header.readUInt32LE(0) === NOTE) notes.push(...notesIn(bytes));
  }
  return { loads: loads.sort((a, b) => a.address - b.address), notes };
}

function notesIn(bytes: Buffer): ElfNote[] {
  const notes: ElfNote[] = [];
  const padded = (length: number): number => Math.ceil(length / 4) * 4;
  for (let at = 0; at + 12 <= bytes.length; ) {
    const nameLength = bytes.readUInt32LE(at);
    const bodyLength = bytes.readUInt32LE(at + 4);
    const bodyAt = at + 12 + padded(nameLength);
    const name = bytes.toString('latin1', at + 12, at + 12 + nameLength - 1);
    notes.push({ name, body: bytes.subarray(bodyAt, bodyAt + bodyLength) });
    at = bodyAt + padded(bodyLength);
  }
  return notes;
}
