// `vitrine quicken`: a machine goes on where the kernel tells what it writes, so that what looks for changes takes less time.

import { isVitrineError } from '../../base/error.ts';
import type { RemoteGuest } from '../../bridge/remote-guest.ts';
import { durationText } from './quantity.ts';
import { verbCommand } from './verb-command.ts';

export const quickenCommand = verbCommand({
  name: 'quicken',
  summary: 'saves and resets of a machine from now on look at what it wrote alone',
  help: `vitrine quicken web && vitrine save web
vitrine quicken web && vitrine rewind start web --every 1s

A machine that was forked tells what it writes; another one may be compared as a whole each time ("vitrine status" says which). Such
a machine goes on in a fresh process that stands on an image of its memory. It keeps its name, memory, disks, console and snapshots;
its process id is another, who looks at its picture has to connect again, and connections of its network that QEMU itself keeps break.
The image takes memory of the host besides what the machine writes. The save after it looks at everything once more.

What it wrote once is looked at each time. Where that became much, the command may be given again: it stands on a new image then.

`,
  needs: 'machines',
  names: { least: 1, most: 1, what: 'the name of a machine' },
  async run({ client, names: [name], result, say }) {
    const report = await client.machine(name!).quicken();
    result(report, '');
    const { moved, because, pauseMs } = report;
    const how = moved ? `in a fresh process; it rested ${durationText(pauseMs)}` : 'stays where it is';
    say(`${name}: ${how}; ${because}`);
  },
});

/** Why a machine cannot move, and goes on as it is. */
const CANNOT: readonly string[] = ['unsupported', 'guest-start', 'guest-failed', 'memory-exhausted'];

/** A machine that was to move, if it can. */
export interface Quickened {
  readonly moved: boolean;
  /** What came of it, for people; undefined when there was nothing to do. */
  readonly said: string | undefined;
}

/** For a command that is quicker with it and goes on without. Throws what says that the machine is not there. */
export async function quickened(machine: Pick<RemoteGuest, 'quicken'>): Promise<Quickened> {
  try {
    const { moved, because } = await machine.quicken();
    return { moved, said: moved ? `went on in a fresh process: ${because}` : undefined };
  } catch (error) {
    if (!isVitrineError(error) || !CANNOT.includes(error.code)) throw error;
    return { moved: false, said: `stayed as it is: ${error.message}` };
  }
}
