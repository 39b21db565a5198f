// Verifying by replay: a guest is brought to a snapshot twice and runs on each time; all that it holds must be the same. It
// proves what digests cannot: that the snapshot holds everything that decides what the machine does next.
//
// Needs a guest that does the same again (`replay`), of the snapshot's description, that nobody else uses. Afterwards it
// is wherever the second run ended. Keeps two copies of its memory meanwhile.

import { equalBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { MIB } from '../base/limits.ts';
import { throwIfAborted, type WorkOptions } from '../base/work.ts';
import type { DeviceRecord, Guest } from '../guest/guest.ts';
import type { Replay } from '../guest/replay.ts';
import type { EngineParts } from './engine-parts.ts';
import { readDevices, readTable } from './restore.ts';
import type { Base } from './save.ts';
import { checkSameMachine } from './snapshot.ts';

/** A second or two of the slower guests. */
const DEFAULT_STEPS = 10_000_000;

export interface VerifyReplayOptions extends WorkOptions {
  /** How far it runs each time, in the guest's own steps. 10 million when left out. */
  readonly steps?: number;
}

/** What the two runs came to. */
export interface ReplayVerdict {
  /** Steps that each run took. */
  readonly steps: number;
  /**
   * The first difference: right after the restore, what the guest gives back and the snapshot does not hold; or at the
   * end, between the two runs. Null when there is none.
   */
  readonly difference: { readonly stage: 'restore' | 'run'; readonly where: string } | null;
}

/** What a guest has to be able to do for it. */
export type ReplayableGuest = Pick<
  Guest,
  | 'machine'
  | 'regions'
  | 'pause'
  | 'resume'
  | 'readPages'
  | 'writePages'
  | 'saveDevices'
  | 'loadDevices'
  | 'replay'
>;

interface Contents {
  readonly regions: readonly Uint8Array[];
  readonly devices: readonly DeviceRecord[];
}

/** Throws `unsupported` for a guest without replay, `guest-mismatch`, `argument-invalid`, and what guest and store throw. */
export async function verifyByReplay(
  parts: EngineParts,
  snapshot: Base,
  guest: ReplayableGuest,
  options: VerifyReplayOptions,
): Promise<ReplayVerdict> {
  const { replay } = guest;
  if (replay === undefined)
    throw new VitrineError('unsupported', { missing: 'replay', kind: guest.machine.kind });
  const steps = options.steps ?? DEFAULT_STEPS;
  if (!Number.isSafeInteger(steps) || steps < 1) {
    throw new VitrineError('argument-invalid', { name: 'steps', value: steps });
  }
  checkSameMachine(snapshot.manifest, guest.machine, guest.regions);
  const wanted = await readContents(parts, snapshot, options);
  await guest.pause();
  try {
    await putContents(guest, wanted);
    const lost = differenceOf(guest, wanted, await takeContents(guest));
    if (lost !== null) return { steps: 0, difference: { stage: 'restore', where: lost } };
    const first = await runOn(guest, replay, steps, options);
    await putContents(guest, wanted);
    const second = await runOn(guest, replay, steps, options);
    const strayed =
      first.steps === second.steps
        ? differenceOf(guest, first.contents, second.contents)
        : `the runs took ${first.steps} and ${second.steps} steps`;
    const difference = strayed === null ? null : { stage: 'run' as const, where: strayed };
    return { steps: first.steps, difference };
  } finally {
    await guest.resume();
  }
}

async function runOn(
  guest: ReplayableGuest,
  replay: Replay,
  steps: number,
  options: WorkOptions,
): Promise<{ readonly steps: number; readonly contents: Contents }> {
  throwIfAborted(options.signal);
  await replay.begin();
  const position = await replay.run(steps, options.signal);
  return { steps: position.steps, contents: await takeContents(guest) };
}

async function readContents(parts: EngineParts, snapshot: Base, options: WorkOptions): Promise<Contents> {
  const devices = await readDevices(parts, snapshot);
  const regions: Uint8Array[] = [];
  for (const table of snapshot.manifest.regions) {
    const bytes = new Uint8Array(table.sizeBytes);
    for (let at = 0; at < bytes.length; at += MIB) {
      throwIfAborted(options.signal);
      bytes.set(await readTable(parts, table, at, Math.min(MIB, bytes.length - at)), at);
    }
    regions.push(bytes);
  }
  return { regions, devices };
}

async function takeContents(guest: ReplayableGuest): Promise<Contents> {
  const regions: Uint8Array[] = [];
  for (const { id, sizeBytes } of guest.regions) {
    const bytes = new Uint8Array(sizeBytes);
    await guest.readPages({ region: id, offsetBytes: 0, lengthBytes: sizeBytes }, bytes);
    regions.push(bytes);
  }
  return { regions, devices: await guest.saveDevices() };
}

async function putContents(guest: ReplayableGuest, contents: Contents): Promise<void> {
  for (const { id, sizeBytes } of guest.regions) {
    const span = { region: id, offsetBytes: 0, lengthBytes: sizeBytes };
    await guest.writePages(span, contents.regions[id]!);
  }
  await guest.loadDevices(contents.devices);
}

/** Devices first: they have names, and what differs in memory mostly follows from them. */
function differenceOf(guest: ReplayableGuest, a: Contents, b: Contents): string | null {
  const others = new Map(b.devices.map((record) => [record.name, record]));
  for (const { name, version, bytes } of a.devices) {
    const other = others.get(name);
    if (other === undefined || other.version !== version) return `record ${name}`;
    if (!equalBytes(bytes, other.bytes))
      return `record ${name} at byte ${firstDifference(bytes, other.bytes)}`;
    others.delete(name);
  }
  for (const name of others.keys()) return `record ${name}`;
  for (const { id, name, pageBytes } of guest.regions) {
    const at = firstDifference(a.regions[id]!, b.regions[id]!);
    if (at !== undefined) return `region ${name}, page ${Math.floor(at / pageBytes)}, byte ${at}`;
  }
  return null;
}

function firstDifference(a: Uint8Array, b: Uint8Array): number | undefined {
  const length = Math.max(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return undefined;
}
