// Machines of others whose attacher was killed: they are found by the notes that it left, and brought to where it found them. What of
// ours is in them is taken away, and those that we held go on.
//
//   note, its owner dead ─▶ the same socket? ─▶ monitor ─▶ our work ends ─▶ our nodes go ─▶ held, and whole? ─▶ goes on
//
// One whose memory was being replaced is half one state and half another: it rests, for its owner to say what becomes of it. They are not
// attached again: whoever wants that says so.

import { randomUUID } from 'node:crypto';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import { endMigration } from './end-migration.ts';
import { filesIn, type MachineFiles } from './profile.ts';
import { connectQmp, type Qmp } from './qmp.ts';
import type { RunState } from './qmp-commands.ts';
import {
  type AttachedNote,
  isAlive,
  isAttachedThere,
  type MachineNote,
  NOBODY,
  nameOf,
  readNote,
  rootsThere,
  writeNote,
} from './run-directory.ts';
import { RunIntent } from './run-intent.ts';
import { IGNORE_SHARED, STATE_NODE_PREFIX } from './state-transfer.ts';

/** Where a machine is that we stopped, or whose state we were moving. */
const HELD: readonly RunState[] = ['paused', 'postmigrate', 'finish-migrate', 'save-vm', 'restore-vm'];
/** Ids of jobs that `Qmp.runJob` starts. */
const OUR_JOB = /^v\d+$/;
const LOOK_EVERY_MS = 5;
/** What was under way may write all of a machine's memory. */
const END_TIMEOUT_MS = 60_000;
/** A monitor serves one client at a time: whoever has it is not waited for. */
const GREETING_TIMEOUT_MS = 2_000;

/** What became of a machine that was left. */
export interface LeftMachine {
  /** As it was attached. */
  readonly name: string;
  readonly socket: string;
  /**
   * `continued`: we had held it, and it runs. `untouched`: nothing was being done to it. `torn`: it rests, half-way into a restore.
   * `out-of-reach`: its monitor has another client, or does not answer; it is looked for again the next time.
   */
  readonly outcome: 'continued' | 'untouched' | 'torn' | 'out-of-reach';
  /** Why it is out of reach. */
  readonly because?: string;
}

/** Finds machines whose attacher is gone, and lets them go on. Throws what the file system throws. */
export async function continueLeftMachines(root?: string): Promise<LeftMachine[]> {
  const left: LeftMachine[] = [];
  for (const one of await rootsThere(root)) {
    for (const entry of await readdir(one)) {
      const files = filesIn(join(one, entry));
      const note = await readNote(files);
      if (note?.attached == null || (await isAlive(note.owner))) continue;
      if (!(await isAttachedThere(note.attached))) {
        await rm(files.directory, { recursive: true, force: true });
        continue;
      }
      if (!(await claim(files, note))) continue;
      const found = await letGoOn(note, note.attached, files);
      if (found !== undefined) left.push(found);
    }
  }
  return left;
}

async function letGoOn(
  note: MachineNote,
  attached: AttachedNote,
  files: MachineFiles,
): Promise<LeftMachine | undefined> {
  const { name } = note;
  const { socket } = attached;
  let qmp: Qmp | undefined;
  let intent: RunIntent | undefined;
  try {
    qmp = await connectQmp(socket, { greetingTimeoutMs: GREETING_TIMEOUT_MS });
    intent = new RunIntent(files.intent);
    const { shallRun: isHeld, isBeingReplaced: isTorn } = intent;
    await takeAway(qmp, attached, isHeld || isTorn);
    const { status } = await qmp.execute('query-status');
    const goesOn = isHeld && !isTorn && HELD.includes(status);
    if (goesOn) await qmp.execute('cont');
    await rm(files.directory, { recursive: true, force: true });
    return { name, socket, outcome: isTorn ? 'torn' : goesOn ? 'continued' : 'untouched' };
  } catch (error) {
    if (!isVitrineError(error)) throw error;
    if (qmp === undefined && error.code === 'guest-lost') {
      // Its socket is there, and nobody listens: it ended.
      await rm(files.directory, { recursive: true, force: true });
      return undefined;
    }
    // Whoever looks next is to find it.
    await writeNote(files, { ...note, owner: NOBODY });
    return { name, socket, outcome: 'out-of-reach', because: error.message };
  } finally {
    intent?.close();
    qmp?.close();
  }
}

/** Makes the note's owner this process: of several that find it, one takes the note away to write it anew. */
async function claim(files: MachineFiles, note: MachineNote): Promise<boolean> {
  const aside = `${files.note}.${randomUUID()}`;
  try {
    await rename(files.note, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  await writeNote(files, { ...note, owner: await nameOf(process.pid) });
  await rm(aside, { force: true });
  return true;
}

/** What the attacher had under way, and what it has in the machine. Throws `guest-timeout`, `guest-lost`. */
async function takeAway(qmp: Qmp, { ignoredShared }: AttachedNote, wasAtWork: boolean): Promise<void> {
  // A migration of a machine that we did not hold is its owner's.
  if (wasAtWork) await endMigration(qmp);
  const until = Date.now() + END_TIMEOUT_MS;
  for (;;) {
    const jobs = (await qmp.execute('query-jobs')).filter(({ id }) => OUR_JOB.test(id));
    if (jobs.length === 0) break;
    for (const { id, status } of jobs) if (status === 'concluded') await qmp.execute('job-dismiss', { id });
    if (Date.now() > until)
      throw new VitrineError('guest-timeout', { command: 'query-jobs', timeoutMs: END_TIMEOUT_MS });
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  for (const { 'node-name': node } of await qmp.execute('query-named-block-nodes', { flat: true })) {
    if (node?.startsWith(STATE_NODE_PREFIX)) await qmp.execute('blockdev-del', { 'node-name': node });
  }
  await qmp.execute('migrate-set-capabilities', {
    capabilities: [{ capability: IGNORE_SHARED, state: ignoredShared }],
  });
}
