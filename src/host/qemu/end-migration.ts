// Ending a migration that was left under way by whoever began it, and knowing when one is over.
//
// QEMU calls a background snapshot completed when its last byte is sent, and then stops to watch memory and clears away, in a thread of its own.
// What is asked of it in between would find its state half gone.

import { isVitrineError, VitrineError } from '../../base/error.ts';
import { nextTask } from '../../base/pacing.ts';
import type { Qmp } from './qmp.ts';

const MIGRATING = ['setup', 'active', 'pre-switchover', 'device', 'cancelling', 'wait-unplug'];
const LOOK_EVERY_MS = 5;
/** Without anything sent, it does not end by itself. */
const END_TIMEOUT_MS = 60_000;

/**
 * Cancels it; one that is a background snapshot is waited for, since QEMU 7.2 must not cancel those and somebody reads them to their end
 * (`stream-heir.ts`). Throws `guest-timeout`, `guest-lost`.
 */
export async function endMigration(qmp: Qmp): Promise<void> {
  const capabilities = await qmp.execute('query-migrate-capabilities');
  const isSnapshot = capabilities.some(
    ({ capability, state }) => capability === 'background-snapshot' && state,
  );
  if (isSnapshot && (await comesToItsEnd(qmp))) return untilClearedAway(qmp);
  const { status = 'none' } = await qmp.execute('query-migrate');
  if (MIGRATING.includes(status)) {
    await qmp.execute('migrate_cancel');
    if (!(await comesToItsEnd(qmp)))
      throw new VitrineError('guest-timeout', { command: 'migrate_cancel', timeoutMs: END_TIMEOUT_MS });
  }
  await untilClearedAway(qmp);
}

/** One that came to its end leaves nothing behind once this resolves. Throws `guest-timeout`, `guest-lost`. */
export async function untilClearedAway(qmp: Qmp): Promise<void> {
  const until = Date.now() + END_TIMEOUT_MS;
  while ((await qmp.execute('query-yank')).some(({ type }) => type === 'migration')) {
    if (Date.now() > until)
      throw new VitrineError('guest-timeout', { command: 'migrate', timeoutMs: END_TIMEOUT_MS });
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/**
 * Lets a machine go on whose migration is completed. QEMU says so before it takes a machine for one that may go on: for that moment
 * it is asked again. Throws `guest-failed`, `guest-lost`.
 */
export async function goOnAfter(qmp: Qmp): Promise<void> {
  const until = Date.now() + END_TIMEOUT_MS;
  for (let isFinal = false; ; ) {
    try {
      await qmp.execute('cont');
      return;
    } catch (error) {
      if (!isVitrineError(error, 'guest-failed') || isFinal || Date.now() > until) throw error;
      // Once it is one that may, it is asked the last time.
      isFinal = (await qmp.execute('query-status')).status !== 'finish-migrate';
      await nextTask();
    }
  }
}

/** False where it is under way and nothing more was sent for so long. Throws `guest-lost`. */
export async function comesToItsEnd(qmp: Qmp, timeoutMs = END_TIMEOUT_MS): Promise<boolean> {
  let sentBytes: number | undefined;
  let until = Date.now() + timeoutMs;
  for (;;) {
    const { status = 'none', ram } = await qmp.execute('query-migrate');
    if (!MIGRATING.includes(status)) return true;
    if (ram?.transferred !== sentBytes) {
      sentBytes = ram?.transferred;
      until = Date.now() + timeoutMs;
    }
    if (Date.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
