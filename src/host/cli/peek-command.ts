// `vitrine peek`: bytes of a machine at one instant, or of a snapshot.

import { concatBytes, type OwnedBytes } from '../../base/bytes.ts';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import type { BridgeRange } from '../../bridge/fields.ts';
import { UsageError } from './command.ts';
import { readPlace } from './memory-place.ts';
import { OutputFile } from './output-file.ts';
import { LINUX_VIEWS, type PeekTarget, peekLinux } from './peek-linux.ts';
import { MACHINE_VIEWS, peekMachine } from './peek-machine.ts';
import { bytesText, durationText, readNumber } from './quantity.ts';
import { findSnapshot } from './snapshot-name.ts';
import { type VerbCall, verbCommand } from './verb-command.ts';

const FORMATS = ['hex', 'raw', 'json'] as const;
/** More is for a file: a terminal shows a screen of it, and a shell keeps it whole. */
const MAX_SHOWN_BYTES = 16 * 1024 * 1024;

export const peekCommand = verbCommand({
  name: 'peek',
  summary: 'bytes of a machine at one instant, or of a snapshot',
  help: `vitrine peek web 0x1000 256
vitrine peek 3f9a 0x100000 4K --format raw | strings
vitrine peek web ram.high+0 1G -o high.bin
vitrine peek web 0xffffffff81000000 64 --virtual
vitrine peek 3f9a 0xc1000000 64 --virtual
vitrine peek web --map
vitrine peek web --registers
vitrine peek web --dmesg
vitrine peek 'before the update' --ps

Addresses are guest physical; REGION+OFFSET counts from a region's start. Bytes are all of one instant: the machine rests while
they are copied, and standard error says how long.

  --torn                of a machine that runs on meanwhile, where it can: bytes of different instants
  --virtual             the address is virtual, by the page tables of its first processor
  --map                 where its memory lies: regions, addresses, sizes
  --registers           what its processors hold, of a machine
  --dmesg               the log of the Linux in it, out of its memory, without its help
  --ps                  its processes
  --uname               its name and version
  --system-map FILE     the kernel's System.map, for one that notes nothing of itself (VMCOREINFO), or has no symbols
  -o, --output FILE     where raw bytes go, of any length
  --format FORMAT       hex, raw or json; hex when left out
`,
  needs: 'snapshots',
  names: { least: 1, most: 3, what: 'a machine or a snapshot, an address and a length' },
  options: {
    map: { type: 'boolean' },
    registers: { type: 'boolean' },
    dmesg: { type: 'boolean' },
    ps: { type: 'boolean' },
    uname: { type: 'boolean' },
    'system-map': { type: 'string' },
    torn: { type: 'boolean' },
    virtual: { type: 'boolean' },
    output: { type: 'string', short: 'o' },
    format: { type: 'string' },
  },
  run: peek,
});

async function peek(call: VerbCall): Promise<void> {
  const { client, names, values, work, result, say } = call;
  const [name, at, length] = names as [string, string | undefined, string | undefined];
  const views = [...LINUX_VIEWS, ...MACHINE_VIEWS].filter((view) => values[view] === true);
  if (views.length > 1 || (views.length > 0 && at !== undefined)) {
    throw new UsageError(`--${views[0]} goes with a name alone`);
  }
  if (views.length > 0 && values.torn === true) throw new UsageError('--torn goes with an address');
  const ofMachine = MACHINE_VIEWS.find((view) => view === views[0]);
  if (ofMachine !== undefined) return peekMachine(call, await whatIs(name, client), ofMachine);
  const ofLinux = LINUX_VIEWS.find((view) => view === views[0]);
  if (ofLinux !== undefined) {
    const map = values['system-map'];
    await peekLinux(call, await whatIs(name, client), ofLinux, map === undefined ? undefined : String(map));
    return;
  }
  if (values['system-map'] !== undefined)
    throw new UsageError('--system-map goes with --dmesg, --ps or --uname');
  if (at === undefined || length === undefined) {
    throw new UsageError('give a machine or a snapshot, an address and a length');
  }
  const format = values.json === true ? 'json' : (FORMATS.find((one) => one === values.format) ?? 'hex');
  if (values.format !== undefined && !(FORMATS as readonly unknown[]).includes(values.format)) {
    throw new UsageError(`--format wants ${FORMATS.join(', ')}`);
  }
  const lengthBytes = readNumber(length, 'the length');
  if (lengthBytes === 0) throw new UsageError('a length of 0 has no bytes');
  const file = values.output === undefined ? undefined : String(values.output);
  if (file === undefined && lengthBytes > MAX_SHOWN_BYTES) {
    throw new UsageError(`${bytesText(lengthBytes)} are for a file: say with -o which`);
  }
  const ranges = [readRange(at, lengthBytes, values.virtual === true)];
  const of = await whatIs(name, client);
  const kept: OwnedBytes[] = [];
  const target = file === undefined ? undefined : new OutputFile(file);
  try {
    const onLentBytes = (bytes: OwnedBytes): void => {
      // More is asked for when this is on its way to the disk: memory stays as it is, however long it is.
      if (target === undefined) kept.push(bytes.slice());
      else target.write(bytes);
    };
    const { signal } = work;
    const options = { onLentBytes, ...(signal === undefined ? {} : { signal }) };
    const torn = values.torn === true ? ({ consistency: 'torn' } as const) : {};
    const answer = await client.link.connection.call('peek', { of, ranges, ...torn }, options);
    target?.keep();
    const { pauseMs, consistency, source } = answer;
    const bytes = concatBytes(kept);
    const value = { ...of, at, lengthBytes, consistency, source, pauseMs };
    if (file !== undefined) result({ ...value, file }, '');
    else if (format === 'raw') process.stdout.write(bytes);
    else if (format === 'json')
      result({ ...value, hex: Buffer.from(bytes).toString('hex') }, jsonText(value, bytes));
    else result(value, hexText(ranges[0]!, bytes));
    const rested = 'machine' in of ? `; it rested ${durationText(pauseMs)}` : '';
    const instants = consistency === 'torn' ? 'different instants; it ran on' : `one instant${rested}`;
    say(`${bytesText(lengthBytes)} of ${instants}`);
  } finally {
    target?.close();
  }
}

/** A machine goes before a snapshot of the same name. */
async function whatIs(name: string, client: VerbCall['client']): Promise<PeekTarget> {
  const machines = await client.machines();
  if (machines.some((machine) => machine.name === name)) return { machine: name };
  try {
    return { snapshot: await findSnapshot(client, name) };
  } catch (error) {
    if (!isVitrineError(error, 'not-found')) throw error;
    throw new VitrineError('not-found', { name, machines: machines.map((machine) => machine.name) });
  }
}

function readRange(text: string, lengthBytes: number, isVirtual: boolean): BridgeRange {
  if (!isVirtual) return { ...readPlace(text), lengthBytes };
  if (text.includes('+')) throw new UsageError('a region has no virtual addresses');
  return { virtualAddress: readVirtual(text), lengthBytes };
}

/** Of 64 bits: more than JavaScript's numbers hold. */
function readVirtual(text: string): string {
  if (/^0x[0-9a-f]{1,16}$/i.test(text)) return text.toLowerCase();
  return `0x${readNumber(text, 'the address').toString(16)}`;
}

function jsonText(value: object, bytes: OwnedBytes): string {
  return `${JSON.stringify({ ...value, hex: Buffer.from(bytes).toString('hex') })}\n`;
}

/** Sixteen bytes a line, with their address and their letters. */
function hexText(range: BridgeRange, bytes: OwnedBytes): string {
  const first =
    'address' in range ? range.address : 'region' in range ? range.offsetBytes : range.virtualAddress;
  const start = BigInt(first);
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0'));
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
    const halves = `${hex.slice(0, 8).join(' ')}  ${hex.slice(8).join(' ')}`;
    lines.push(`${(start + BigInt(at)).toString(16).padStart(8, '0')}  ${halves.padEnd(49)} |${text}|`);
  }
  return `${lines.join('\n')}\n`;
}
