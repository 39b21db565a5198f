// Serving a guest that asks by itself to be saved or put back: off until a host wants it, for a guest is a stranger.
//
//   keep: 'checkpoint'   a point in memory, as `checkpoint` and `reset` of the machine: thousands of times a second
//   keep: 'snapshot'     a snapshot in the store for each save, and the last of them for each reset
//
// The guest rests until it is answered, so that `first` means that the snapshot is durable.

import { isVitrineError, VitrineError } from '../base/error.ts';
import type { DoorbellAnswer, DoorbellRequest } from '../guest/doorbell.ts';
import type { Tracker } from '../tracking/tracker.ts';
import type { DoorbellReport, TrackerDoorbell } from '../tracking/tracker-doorbell.ts';
import type { Machine } from './machine.ts';
import type { SaveOptions } from './save.ts';
import type { SnapshotId } from './snapshot.ts';

/** Rings served a second where the host does not say. A snapshot takes room in the store for good. */
const MAX_PER_SECOND = { checkpoint: 1000, snapshot: 1 } as const;

/** What came of one ring that was asked about. */
export interface ServedRing {
  readonly request: DoorbellRequest;
  readonly answer: DoorbellAnswer;
  /** The snapshot that was saved or restored; null when it was refused. */
  readonly snapshot: SnapshotId | null;
  /** Why it failed; null when it did not, or was not allowed. */
  readonly error: VitrineError | null;
}

export interface ServeDoorbellOptions {
  /** `checkpoint` when left out. */
  readonly keep?: 'checkpoint' | 'snapshot';
  /** Rings served in a second, all others are refused: 1,000 checkpoints, or 1 snapshot, when left out. */
  readonly maxPerSecond?: number;
  /** For snapshots: how to save; the label is that of each. */
  readonly save?: Pick<SaveOptions, 'label' | 'effort' | 'full'>;
  /** For snapshots: refuses a ring by answering false. All within the rate are allowed when left out. */
  readonly allow?: (request: DoorbellRequest) => boolean | Promise<boolean>;
  /** For snapshots: hears of every ring that was not refused for its rate. */
  readonly onServed?: (ring: ServedRing) => void;
}

/** A doorbell that is served. */
export interface ServedDoorbell {
  report(): Promise<DoorbellReport>;
  /** Nobody serves from now on. Resolves when no ring is in hand. */
  stop(): Promise<void>;
}

/** Serves the doorbell of `machine`. Throws as `Machine.serveDoorbell`. */
export async function serveDoorbell(
  machine: Pick<Machine, 'save' | 'restore'>,
  tracker: Tracker,
  options: ServeDoorbellOptions,
): Promise<ServedDoorbell> {
  const { doorbell } = tracker;
  const keep = options.keep ?? 'checkpoint';
  const maxPerSecond = options.maxPerSecond ?? MAX_PER_SECOND[keep];
  await doorbell.serve({ serve: keep === 'snapshot' ? 'ask' : 'checkpoint', maxPerSecond });
  const serving = keep === 'snapshot' ? answerRings(machine, doorbell, options) : Promise.resolve();
  return {
    report: () => doorbell.report(),
    async stop() {
      await doorbell.stop();
      await serving;
    },
  };
}

/** Ends when the serving does, or with the worker of the guest. */
async function answerRings(
  machine: Pick<Machine, 'save' | 'restore'>,
  doorbell: TrackerDoorbell,
  options: ServeDoorbellOptions,
): Promise<void> {
  let last: SnapshotId | null = null;
  const serve = async (request: DoorbellRequest): Promise<ServedRing> => {
    try {
      const allowed = (await options.allow?.(request)) ?? true;
      if (!allowed || (request === 'reset' && last === null)) {
        return { request, answer: 'refused', snapshot: null, error: null };
      }
      if (request === 'save') {
        last = (await machine.save(options.save)).snapshot.id;
        return { request, answer: 'first', snapshot: last, error: null };
      }
      await machine.restore(last!);
      return { request, answer: 'restored', snapshot: last, error: null };
    } catch (cause) {
      const error = isVitrineError(cause) ? cause : new VitrineError('internal', {}, { cause });
      return { request, answer: 'refused', snapshot: null, error };
    }
  };
  try {
    for (;;) {
      const request = await doorbell.nextRing();
      if (request === null) return;
      const ring = await serve(request);
      await doorbell.answerRing(ring.answer);
      // A listener that throws is its owner's to see; the guest's next ring has to be answered all the same.
      queueMicrotask(() => options.onServed?.(ring));
    }
  } catch (error) {
    // A guest that is gone rings no more; whoever holds the machine hears of it by other calls.
    if (!isVitrineError(error)) throw error;
  }
}
