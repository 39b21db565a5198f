// A tracker on one side of a message port, the engine on the other. Pages are transferred, not copied.

import { expose, type Remote, transfer, wrap } from 'comlink';
import type { OwnedBytes } from '../base/bytes.ts';
import type { VitrineError } from '../base/error.ts';
import { loadPart } from '../base/part.ts';
import type { DeviceRecord } from '../guest/guest.ts';
import type { SharedMemory } from '../memory/shared-memory.ts';
import type { Span } from '../memory/span.ts';
import { peekShared } from '../tracking/peek.ts';
import type { PeekOptions, Tracker } from '../tracking/tracker.ts';
import type { TrackerDoorbell } from '../tracking/tracker-doorbell.ts';
import { installErrorTransfer } from './error-transfer.ts';
import type { CallRewind } from './rewind-client.ts';
import type { RewindVerb } from './rewind-host.ts';
import { settling } from './supervision.ts';

/** A tracker as it crosses a port: methods alone. */
type FlatTracker = Omit<Tracker, 'doorbell'> & {
  serveDoorbell: TrackerDoorbell['serve'];
  stopDoorbell: TrackerDoorbell['stop'];
  reportDoorbell: TrackerDoorbell['report'];
  nextRing: TrackerDoorbell['nextRing'];
  answerRing: TrackerDoorbell['answerRing'];
  rewind(verb: RewindVerb, parameters: readonly unknown[]): Promise<unknown>;
};

/** A tracker in another worker, with the history kept there. */
export interface ConnectedTracker extends Tracker {
  readonly rewind: CallRewind;
}

/** Serves a tracker at a port. */
export function exposeTracker(tracker: Tracker, port: MessagePort): void {
  installErrorTransfer();
  const served: FlatTracker = {
    describe: () => tracker.describe(),
    capture: (options) => tracker.capture(options),
    cancelCapture: () => tracker.cancelCapture(),
    async readPages(region, pages) {
      const gathered = await tracker.readPages(region, pages);
      return transfer(gathered, [
        gathered.bytes.buffer,
        gathered.previous.buffer,
        gathered.previousOf.buffer,
      ]);
    },
    commit: () => tracker.commit(),
    putBack: () => tracker.putBack(),
    async peek(spans, options) {
      const peeked = await tracker.peek(spans, options);
      return transfer(
        peeked,
        peeked.bytes.map((bytes) => bytes.buffer),
      );
    },
    beginRestore: (options) => tracker.beginRestore(options),
    stagePages: (region, pages, bytes) => tracker.stagePages(region, pages, bytes),
    stageZeros: (region, pages) => tracker.stageZeros(region, pages),
    applyRestore: (devices) => tracker.applyRestore(devices),
    abandonRestore: () => tracker.abandonRestore(),
    checkpoint: () => tracker.checkpoint(),
    resetToCheckpoint: () => tracker.resetToCheckpoint(),
    dropCheckpoint: () => tracker.dropCheckpoint(),
    reset: () => tracker.reset(),
    close: () => tracker.close(),
    serveDoorbell: (options) => tracker.doorbell.serve(options),
    stopDoorbell: () => tracker.doorbell.stop(),
    reportDoorbell: () => tracker.doorbell.report(),
    nextRing: () => tracker.doorbell.nextRing(),
    answerRing: (answer) => tracker.doorbell.answerRing(answer),
    rewind: (verb, parameters) => callRewind(tracker, verb, parameters),
  };
  expose(served, port as unknown as Parameters<typeof expose>[1]);
}

/**
 * The tracker at the other end of a port. Calls end with the error of `lost` when that resolves.
 *
 * `stagePages` takes its bytes away: their buffer is transferred.
 */
export function connectTracker(
  port: MessagePort,
  lost: Promise<VitrineError>,
  shared?: SharedMemory,
): ConnectedTracker {
  installErrorTransfer();
  const remote = settling(
    wrap<FlatTracker>(port as unknown as Parameters<typeof wrap>[0]),
    lost,
  ) as Remote<FlatTracker>;
  return {
    describe: () => remote.describe(),
    capture: (options) => remote.capture(options),
    cancelCapture: () => remote.cancelCapture(),
    readPages: (region, pages) => remote.readPages(region, pages),
    commit: () => remote.commit(),
    putBack: () => remote.putBack(),
    async peek(spans: readonly Span[], { consistency = 'instant' }: PeekOptions = {}) {
      return (shared && peekShared(shared, spans, { consistency })) ?? remote.peek(spans, { consistency });
    },
    beginRestore: (options) => remote.beginRestore(options),
    stagePages: (region: number, pages: Uint32Array, bytes: OwnedBytes) =>
      remote.stagePages(region, pages, transfer(bytes, [bytes.buffer])),
    stageZeros: (region, pages) => remote.stageZeros(region, pages),
    applyRestore: (devices: readonly DeviceRecord[]) => remote.applyRestore(devices),
    abandonRestore: () => remote.abandonRestore(),
    checkpoint: () => remote.checkpoint(),
    resetToCheckpoint: () => remote.resetToCheckpoint(),
    dropCheckpoint: () => remote.dropCheckpoint(),
    reset: () => remote.reset(),
    close: () => remote.close(),
    doorbell: {
      serve: (options) => remote.serveDoorbell(options),
      stop: () => remote.stopDoorbell(),
      report: () => remote.reportDoorbell(),
      nextRing: () => remote.nextRing(),
      answerRing: (answer) => remote.answerRing(answer),
    },
    rewind: ((verb, ...parameters) => remote.rewind(verb, parameters)) as CallRewind,
  };
}

/** Calls the history of a tracker of this thread, or of another one. */
export async function callRewind(
  tracker: Tracker,
  verb: RewindVerb,
  parameters: readonly unknown[],
): Promise<unknown> {
  const connected = tracker as Partial<ConnectedTracker>;
  if (connected.rewind !== undefined) {
    // Safe: `RewindClient` makes these calls, and its types are those of the verbs.
    return (connected.rewind as (verb: RewindVerb, ...parameters: unknown[]) => unknown)(verb, ...parameters);
  }
  const { rewindOf } = await loadPart('rewind', () => import('./rewind-host.ts'));
  const host = rewindOf(tracker);
  return (host[verb] as (...parameters: readonly unknown[]) => unknown).apply(host, parameters as unknown[]);
}
