// Rings in the audit: who asked for what, why it was refused, and that a flood is a line a second.

import { expect, it } from 'vitest';
import { VitrineError } from '../../../src/base/error.ts';
import type { AuditEntry } from '../../../src/host/bridge/audit.ts';
import { openBellAudit } from '../../../src/host/bridge/bell-audit.ts';
import type { ServedBellRing } from '../../../src/host/qemu/bell-service.ts';

it('is a line a machine, word and outcome, and counts what came meanwhile', () => {
  const lines: AuditEntry[] = [];
  let nowMs = 0;
  const hear = openBellAudit(
    (entry) => lines.push(entry),
    () => nowMs,
  );
  const saved: ServedBellRing = { word: 'save', answer: 'first', snapshot: 'ab', error: null, tookMs: 7 };
  const error = new VitrineError('permission-denied', {});
  const refused: ServedBellRing = { word: 'reset', answer: 'refused', snapshot: null, error, tookMs: 0 };
  hear('web', saved);
  hear('db', saved);
  hear('web', refused);
  for (let count = 0; count < 1000; count++) hear('web', refused);
  nowMs = 999;
  hear('web', refused);
  nowMs = 1000;
  hear('web', refused);
  expect(lines).toMatchObject([
    {
      ...{ subject: 'guest:web', verb: 'doorbell', permission: 'save', outcome: 'ok', durationMs: 7 },
      notes: { machine: 'web', asked: 'save', snapshot: 'ab' },
    },
    { subject: 'guest:db' },
    { subject: 'guest:web', permission: 'restore', outcome: 'permission-denied', notes: { asked: 'reset' } },
    { subject: 'guest:web', outcome: 'permission-denied', notes: { leftOut: 1001 } },
  ]);
  expect(lines).toHaveLength(4);
});
