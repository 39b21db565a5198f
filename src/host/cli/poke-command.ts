// `vitrine poke`: bytes into a machine's memory.

import { readFile, stat } from 'node:fs/promises';
import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { BRIDGE_LIMITS } from '../../bridge/bridge-limits.ts';
import { UsageError } from './command.ts';
import { readPlace } from './memory-place.ts';
import { bytesText } from './quantity.ts';
import { type VerbCall, verbCommand } from './verb-command.ts';

const { maxPokeBytes } = BRIDGE_LIMITS;

export const pokeCommand = verbCommand({
  name: 'poke',
  summary: 'bytes into a machine’s memory, at one instant',
  help: `vitrine poke web 0x1000 --hex 'de ad be ef'
vitrine poke web ram+0x4000 --text hello
vitrine poke web 0x100000 -i patch.bin

Writes as the machine's own program could have: the next save has it. Addresses are guest physical; REGION+OFFSET counts from a
region's start. It takes the right to administer the machine, and is in the audit log without the bytes.

  --hex BYTES           in hexadecimal, with spaces or without
  --text TEXT           in UTF-8, without an end
  -i, --input FILE      out of a file; ${bytesText(maxPokeBytes)} at most, all at one instant
`,
  needs: 'machines',
  names: { least: 2, most: 2, what: 'the name of a machine and an address' },
  options: {
    hex: { type: 'string' },
    text: { type: 'string' },
    input: { type: 'string', short: 'i' },
  },
  async run({ client, names, values, result, say }) {
    const [name, at] = names as [string, string];
    const place = readPlace(at);
    const bytes = await readBytes(values);
    if (bytes.length === 0) throw new UsageError('there are no bytes to write');
    requireOneInstant(bytes.length);
    await client.machine(name).poke(place, bytes);
    result({ machine: name, ...place, lengthBytes: bytes.length }, '');
    say(`${name}: ${bytesText(bytes.length)} written`);
  },
});

async function readBytes({ hex, text, input }: VerbCall['values']): Promise<OwnedBytes> {
  if ([hex, text, input].filter((one) => one !== undefined).length !== 1) {
    throw new UsageError('give one of --hex, --text, --input');
  }
  if (text !== undefined) return new TextEncoder().encode(String(text));
  if (input !== undefined) return readInput(String(input));
  const digits = String(hex).replace(/\s/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new UsageError('--hex wants two digits a byte');
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}

async function readInput(file: string): Promise<OwnedBytes> {
  const info = await stat(file).catch(() => undefined);
  if (info?.isFile() !== true) throw new VitrineError('not-found', { file });
  // Not read at all where it is too long.
  requireOneInstant(info.size);
  return Uint8Array.from(await readFile(file));
}

function requireOneInstant(lengthBytes: number): void {
  if (lengthBytes <= maxPokeBytes) return;
  throw new UsageError(
    `${bytesText(lengthBytes)} are more than goes at one instant: ${bytesText(maxPokeBytes)}`,
  );
}
