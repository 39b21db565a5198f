// A migration is over when QEMU has cleared it away, not when it calls it completed.

import { describe, expect, it } from 'vitest';
import { VitrineError } from '../../../src/base/error.ts';
import { endMigration, goOnAfter, untilClearedAway } from '../../../src/host/qemu/end-migration.ts';
import type { Qmp } from '../../../src/host/qemu/qmp.ts';

/** A monitor that answers each command by its script, the last line of it again and again. */
class ScriptedMonitor {
  readonly asked: string[] = [];
  readonly #answers: Readonly<Record<string, unknown[]>>;

  constructor(answers: Readonly<Record<string, unknown[]>>) {
    this.#answers = answers;
  }

  async execute(command: string): Promise<unknown> {
    this.asked.push(command);
    const script = this.#answers[command] ?? [{}];
    const answer = script.length > 1 ? script.shift() : script[0];
    if (answer instanceof Error) throw answer;
    return answer;
  }

  /** Safe: nothing else of a monitor is used here. */
  get qmp(): Qmp {
    return this as unknown as Qmp;
  }
}

const THERE = [{ type: 'chardev', id: 'a' }, { type: 'migration' }];
const GONE = [{ type: 'chardev', id: 'a' }];
const snapshots = (state: boolean) => [[{ capability: 'background-snapshot', state }]];

describe('a migration', () => {
  it('is over when it is cleared away', async () => {
    const monitor = new ScriptedMonitor({ 'query-yank': [THERE, THERE, GONE] });
    await untilClearedAway(monitor.qmp);
    expect(monitor.asked).toEqual(['query-yank', 'query-yank', 'query-yank']);
  });

  it('that is a background snapshot is waited for, and never cancelled', async () => {
    const monitor = new ScriptedMonitor({
      'query-migrate-capabilities': snapshots(true),
      'query-migrate': [{ status: 'active' }, { status: 'active' }, { status: 'completed' }],
      'query-yank': [THERE, GONE],
    });
    await endMigration(monitor.qmp);
    expect(monitor.asked).not.toContain('migrate_cancel');
    expect(monitor.asked.slice(-3)).toEqual(['query-migrate', 'query-yank', 'query-yank']);
  });

  it('of another kind is cancelled, and waited for', async () => {
    const monitor = new ScriptedMonitor({
      'query-migrate-capabilities': snapshots(false),
      'query-migrate': [{ status: 'active' }, { status: 'cancelling' }, { status: 'cancelled' }],
      'query-yank': [THERE, GONE],
    });
    await endMigration(monitor.qmp);
    expect(monitor.asked).toContain('migrate_cancel');
    expect(monitor.asked.slice(-2)).toEqual(['query-yank', 'query-yank']);
  });

  it('that came to its end is not cancelled', async () => {
    const monitor = new ScriptedMonitor({
      'query-migrate-capabilities': snapshots(false),
      'query-migrate': [{ status: 'completed' }],
      'query-yank': [GONE],
    });
    await endMigration(monitor.qmp);
    expect(monitor.asked).not.toContain('migrate_cancel');
  });

  describe('that is completed', () => {
    const refused = new VitrineError('guest-failed', { command: 'cont', said: 'not finalized yet' });
    const taking = { status: 'finish-migrate' };
    const taken = { status: 'postmigrate' };

    it('lets its machine go on as soon as QEMU takes that', async () => {
      const monitor = new ScriptedMonitor({ cont: [refused, refused, {}], 'query-status': [taking, taken] });
      await goOnAfter(monitor.qmp);
      expect(monitor.asked).toEqual(['cont', 'query-status', 'cont', 'query-status', 'cont']);
    });

    it('tells of a machine that cannot go on', async () => {
      const monitor = new ScriptedMonitor({ cont: [refused], 'query-status': [taking, taken] });
      await expect(goOnAfter(monitor.qmp)).rejects.toBe(refused);
      expect(monitor.asked.filter((one) => one === 'cont')).toHaveLength(3);
    });
  });
});
