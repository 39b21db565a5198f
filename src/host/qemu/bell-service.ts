// Serves the doorbell of a QEMU machine with what its operator allows: off until then, for a guest is a stranger.
//
//   save         a snapshot in the store; so often as disks and logs bear it
//   checkpoint   a point in memory, in place of an earlier one
//   reset        back to the last of either that the guest asked for, or else to the snapshot that the machine goes on from
//
// A ring that comes while the machine is saved or restored for somebody else waits for a moment, since a guest that was just put back
// may ring before that is over, and is refused then.

import { type Clock, SYSTEM_CLOCK } from '../../base/clock.ts';
import { type ErrorCode, isVitrineError, VitrineError } from '../../base/error.ts';
import { TokenBucket } from '../../bridge/token-bucket.ts';
import type { Machine } from '../../engine/machine.ts';
import type { SnapshotId } from '../../engine/snapshot.ts';
import type { DoorbellAnswer } from '../../guest/doorbell.ts';
import type { QemuBell, TurnedAway } from './bell.ts';
import type { BellRing, BellWord } from './bell-line.ts';

/** Rings of all kinds that are served in a second. */
export const MAX_RINGS_PER_SECOND = 1000;
/** Snapshots in a second, for long and at once: each takes room for good. */
const SAVES_PER_SECOND = 1;
const SAVES_AT_ONCE = 2;
/** How long a ring waits for a machine that is busy. */
const BUSY_TRIES = 20;
const BUSY_REST_MS = 25;

/** What came of one ring. */
export interface ServedBellRing {
  /** Null for a line that asks for nothing known. */
  readonly word: BellWord | null;
  readonly answer: DoorbellAnswer;
  /** The snapshot that was saved, or that the machine was put back to; null for checkpoints, and where it was refused. */
  readonly snapshot: SnapshotId | null;
  /** Why it was refused; null where it was not. */
  readonly error: VitrineError | null;
  readonly tookMs: number;
}

export interface BellServiceOptions {
  /** What guests may ask for; all else is refused. */
  readonly allow: readonly BellWord[];
  /** Hears of each ring, also of those that were turned away unread: as many as the guest can write. */
  readonly onServed?: ((ring: ServedBellRing) => void) | undefined;
  readonly clock?: Clock;
}

/** The codes of what a guest reads when its ring is turned away. */
const CODE_OF: Readonly<Record<TurnedAway, ErrorCode>> = {
  'too-often': 'overloaded',
  'not-understood': 'argument-invalid',
  busy: 'busy',
};

type Outcome = Omit<ServedBellRing, 'word' | 'tookMs'>;

/** Serves from now on, until `stop` of the bell. */
export function serveBell(
  machine: Pick<Machine, 'save' | 'checkpoint' | 'reset' | 'restore' | 'base'>,
  bell: QemuBell,
  { allow, onServed, clock = SYSTEM_CLOCK }: BellServiceOptions,
): void {
  const saves = new TokenBucket({ perSecond: SAVES_PER_SECOND, burst: SAVES_AT_ONCE, clock });
  /** What the guest goes back to: a snapshot, or its checkpoint. */
  let last: SnapshotId | 'checkpoint' | null = null;

  const refuse = (reason: string, error: VitrineError): Outcome => {
    bell.addReason(reason);
    return { answer: 'refused', snapshot: null, error };
  };
  const serve = async ({ word, label }: BellRing): Promise<Outcome> => {
    if (!allow.includes(word))
      return refuse(
        'not-allowed',
        new VitrineError('permission-denied', { asked: word, allowed: [...allow] }),
      );
    if (word === 'save') {
      if (saves.take() > 0)
        return refuse(
          'too-often',
          new VitrineError('overloaded', { asked: word, perSecond: SAVES_PER_SECOND }),
        );
      const { snapshot } = await whenFree(() => machine.save(label === '' ? {} : { label }));
      last = snapshot.id;
      bell.addDetails(last);
      return { answer: 'first', snapshot: last, error: null };
    }
    if (word === 'checkpoint') {
      await whenFree(() => machine.checkpoint());
      last = 'checkpoint';
      return { answer: 'first', snapshot: null, error: null };
    }
    const point = last ?? machine.base;
    if (point === null) {
      const state = { actual: 'nothing saved', required: 'a point to go back to' };
      return refuse('nothing-saved', new VitrineError('wrong-state', state));
    }
    if (point === 'checkpoint') await whenFree(() => machine.reset());
    else await whenFree(() => machine.restore(point));
    return { answer: 'restored', snapshot: point === 'checkpoint' ? null : point, error: null };
  };
  const answer = async (): Promise<DoorbellAnswer> => {
    const { ring } = bell;
    if (ring === undefined) return 'refused';
    const startMs = clock.nowMs();
    const outcome = await serve(ring).catch((cause: unknown) => {
      const error = isVitrineError(cause) ? cause : new VitrineError('internal', {}, { cause });
      return refuse(error.code, error);
    });
    const tookMs = clock.nowMs() - startMs;
    // A listener that throws is its owner's to see; the guest has to be answered all the same.
    queueMicrotask(() => onServed?.({ word: ring.word, ...outcome, tookMs }));
    return outcome.answer;
  };
  bell.hearTurnedAway((word, why) => {
    const error = new VitrineError(CODE_OF[why], { asked: word ?? 'nothing known' });
    onServed?.({ word, answer: 'refused', snapshot: null, error, tookMs: 0 });
  });
  bell.serve(answer, { maxPerSecond: MAX_RINGS_PER_SECOND });
}

async function whenFree<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!isVitrineError(error, 'busy') || tries === BUSY_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, BUSY_REST_MS));
    }
  }
}
