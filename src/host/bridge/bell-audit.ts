// What guests asked for by themselves, in the audit: a line a machine and word at most once a second, which counts those that came
// meanwhile. A guest is a stranger, and must not fill its host's disk with lines about itself.

import type { ServedBellRing } from '../qemu/bell-service.ts';
import type { AuditEntry } from './audit.ts';

const LINE_EVERY_MS = 1_000;

/** Hears of rings and makes entries of them. `nowMs` is any clock that only goes forward. */
export function openBellAudit(
  write: (entry: AuditEntry) => void,
  nowMs: () => number,
): (machine: string, ring: ServedBellRing) => void {
  const seen = new Map<string, { atMs: number; leftOut: number }>();
  return (machine, ring) => {
    // It asked for nothing that a permission stands for.
    if (ring.word === null) return;
    const key = `${machine} ${ring.word} ${ring.answer === 'refused'}`;
    const before = seen.get(key);
    if (before !== undefined && nowMs() - before.atMs < LINE_EVERY_MS) {
      before.leftOut++;
      return;
    }
    seen.set(key, { atMs: nowMs(), leftOut: 0 });
    write(entryOf(machine, ring, before?.leftOut ?? 0));
  };
}

function entryOf(machine: string, ring: ServedBellRing, leftOut: number): AuditEntry {
  const subject = `guest:${machine}`;
  return {
    ...{ subject, visitor: subject, remote: 'this host', verb: 'doorbell' },
    permission: ring.word === 'save' ? 'save' : 'restore',
    outcome: ring.error?.code ?? 'ok',
    notes: {
      machine,
      asked: ring.word,
      snapshot: ring.snapshot,
      ...(leftOut === 0 ? {} : { leftOut }),
    },
    durationMs: ring.tookMs,
  };
}
