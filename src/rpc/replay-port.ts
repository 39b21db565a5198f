// A spare guest that does the same again, on one side of a message port; on the other an engine that verifies snapshots by
// replay in it. Pages are transferred, a part of a region at a time.

import { expose, type Remote, transfer, wrap } from 'comlink';
import { ownBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { MIB } from '../base/limits.ts';
import type { ReplayableGuest } from '../engine/verify-replay.ts';
import type { DeviceRecord, MachineDescription } from '../guest/guest.ts';
import type { ReplayPosition } from '../guest/replay.ts';
import type { Region } from '../memory/region.ts';
import type { Span } from '../memory/span.ts';
import { installErrorTransfer } from './error-transfer.ts';
import { settling } from './supervision.ts';

/** What crosses at a time. */
const PART_BYTES = 4 * MIB;

interface Described {
  readonly machine: MachineDescription;
  readonly regions: readonly Region[];
  readonly hasReplay: boolean;
}

/** A guest as it crosses a port: methods alone. */
interface FlatReplayGuest {
  describe(): Described;
  pause(): Promise<void>;
  resume(): Promise<void>;
  readPages(span: Span): Promise<Uint8Array>;
  writePages(span: Span, bytes: Uint8Array): Promise<void>;
  saveDevices(): Promise<readonly DeviceRecord[]>;
  loadDevices(records: readonly DeviceRecord[]): Promise<void>;
  begin(): Promise<void>;
  run(steps: number): Promise<ReplayPosition>;
  /** Ends the run under way with `aborted`. */
  abort(): void;
}

/** Serves a guest at a port to whoever verifies snapshots in it. Nobody else is to use it meanwhile. */
export function exposeReplayGuest(guest: ReplayableGuest, port: MessagePort): void {
  installErrorTransfer();
  let running: AbortController | undefined;
  const replay = () => {
    if (guest.replay !== undefined) return guest.replay;
    throw new VitrineError('unsupported', { missing: 'replay', kind: guest.machine.kind });
  };
  const served: FlatReplayGuest = {
    describe: () => ({
      machine: guest.machine,
      regions: guest.regions,
      hasReplay: guest.replay !== undefined,
    }),
    pause: async () => guest.pause(),
    resume: async () => guest.resume(),
    async readPages(span) {
      const bytes = new Uint8Array(span.lengthBytes);
      await guest.readPages(span, bytes);
      return transfer(bytes, [bytes.buffer]);
    },
    writePages: async (span, bytes) => guest.writePages(span, bytes),
    saveDevices: async () => guest.saveDevices(),
    loadDevices: async (records) => guest.loadDevices(records),
    begin: async () => replay().begin(),
    async run(steps) {
      running = new AbortController();
      return replay().run(steps, running.signal);
    },
    abort: () => running?.abort(),
  };
  expose(served, port as unknown as Parameters<typeof expose>[1]);
}

/** The guest at the other end of a port. Calls end with the error of `lost` when that resolves. */
export async function connectReplayGuest(
  port: MessagePort,
  lost: Promise<VitrineError>,
): Promise<ReplayableGuest> {
  installErrorTransfer();
  const remote = settling(
    wrap<FlatReplayGuest>(port as unknown as Parameters<typeof wrap>[0]),
    lost,
  ) as Remote<FlatReplayGuest>;
  const { machine, regions, hasReplay } = await remote.describe();
  const guest: ReplayableGuest = {
    machine,
    regions,
    pause: () => remote.pause(),
    resume: () => remote.resume(),
    async readPages(span, into) {
      for (const { part, at } of partsOf(span)) into.set(await remote.readPages(part), at);
    },
    async writePages(span, from) {
      for (const { part, at } of partsOf(span)) {
        const bytes = ownBytes(from.subarray(at, at + part.lengthBytes)).slice();
        await remote.writePages(part, transfer(bytes, [bytes.buffer]));
      }
    },
    saveDevices: async () => [...(await remote.saveDevices())],
    loadDevices: (records) => remote.loadDevices(records),
  };
  if (!hasReplay) return guest;
  return {
    ...guest,
    replay: { begin: () => remote.begin(), run: (steps, signal) => run(remote, steps, signal) },
  };
}

async function run(
  remote: Remote<FlatReplayGuest>,
  steps: number,
  signal: AbortSignal | undefined,
): Promise<ReplayPosition> {
  const abort = (): void => void remote.abort();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    return await remote.run(steps);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

function* partsOf({
  region,
  offsetBytes,
  lengthBytes,
}: Span): Generator<{ readonly part: Span; readonly at: number }> {
  for (let at = 0; at < lengthBytes; at += PART_BYTES) {
    const part = {
      region,
      offsetBytes: offsetBytes + at,
      lengthBytes: Math.min(PART_BYTES, lengthBytes - at),
    };
    yield { part, at };
  }
}
