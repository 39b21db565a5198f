// The symbols that a Linux kernel keeps of itself, as /proc/kallsyms shows them: names in pieces of a table of tokens, addresses
// as offsets from one base.
//
//   names          | length (1 byte, or 2 where the first has bit 7) | a token each byte |, one symbol after another
//   token_table    256 C strings; token_index says where each begins
//   offsets        32 bits a symbol: from the base; or, with per-CPU symbols, absolute where positive and below the base where not
//
// The first character of an expanded name is its type (`T`, `d`).

import { VitrineError } from '../../base/error.ts';
import type { LinuxKernel } from './linux-kernel.ts';

const TOKENS = 256;
const MAX_SYMBOLS = 1_000_000;
const MAX_NAME_BYTES = 2047;
/** Bytes of names read at a time; they need some ten a symbol. */
const NAMES_BYTES = 65_536;
const MAX_TOKEN_TABLE_BYTES = 16_384;

export type Symbols = ReadonlyMap<string, bigint>;

/** Every symbol, the first one of each name. Throws `unsupported` where the notes do not say where they are. */
export async function readSymbols({ notes, memory }: LinuxKernel): Promise<Symbols> {
  const place = (name: string): bigint => {
    const address = notes.symbol(`kallsyms_${name}`);
    if (address === undefined)
      throw new VitrineError('unsupported', { missing: `kallsyms_${name} in VMCOREINFO` });
    return address;
  };
  const count = await memory.u32(place('num_syms'));
  if (count === 0 || count > MAX_SYMBOLS)
    throw new VitrineError('format-limit', { field: 'kallsyms_num_syms', count });
  const tokens = await readTokens(
    await memory.read(place('token_table'), MAX_TOKEN_TABLE_BYTES),
    await memory.read(place('token_index'), 2 * TOKENS),
  );
  const offsets = new DataView((await memory.read(place('offsets'), 4 * count)).buffer);
  const base = await memory.long(place('relative_base'));
  const names = await readNames(memory, place('names'), count, tokens);
  // Which of the two ways offsets are meant: the one by which a symbol lies where the notes say.
  const known = names.indexOf('_stext');
  const expected = notes.symbol('_stext');
  const plain = (index: number): bigint => base + BigInt(offsets.getUint32(4 * index, true));
  const signed = (index: number): bigint => {
    const offset = offsets.getInt32(4 * index, true);
    return offset >= 0 ? BigInt(offset) : base - 1n - BigInt(offset);
  };
  const way = [plain, signed].find((one) => known >= 0 && one(known) === expected);
  if (way === undefined) throw new VitrineError('unsupported', { missing: 'kallsyms of a known form' });
  const symbols = new Map<string, bigint>();
  for (const [index, name] of names.entries()) if (!symbols.has(name)) symbols.set(name, way(index));
  return symbols;
}

function readTokens(table: Uint8Array, index: Uint8Array): string[] {
  const places = new DataView(index.buffer, index.byteOffset, index.length);
  return Array.from({ length: TOKENS }, (_, token) => {
    const start = places.getUint16(2 * token, true);
    const end = table.indexOf(0, start);
    if (end < 0) throw new VitrineError('format-range', { field: 'kallsyms_token_index', token, start });
    return Buffer.from(table.subarray(start, end)).toString('latin1');
  });
}

async function readNames(
  memory: LinuxKernel['memory'],
  address: bigint,
  count: number,
  tokens: readonly string[],
): Promise<string[]> {
  const names: string[] = [];
  let held: Uint8Array = new Uint8Array(0);
  let at = 0;
  let next = address;
  while (names.length < count) {
    if (held.length - at < MAX_NAME_BYTES + 2) {
      const more = await memory.read(next, NAMES_BYTES);
      next += BigInt(NAMES_BYTES);
      held = Buffer.concat([held.subarray(at), more]);
      at = 0;
    }
    let length = held[at++]!;
    if ((length & 0x80) !== 0) length = (length & 0x7f) | (held[at++]! << 7);
    if (length === 0 || length > MAX_NAME_BYTES) {
      throw new VitrineError('format-range', { field: 'kallsyms_names', index: names.length, length });
    }
    let name = '';
    for (let i = 0; i < length; i++) name += tokens[held[at + i]!]!;
    at += length;
    names.push(name.slice(1));
  }
  return names;
}
