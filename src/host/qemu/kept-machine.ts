// Machines that outlive their owner, and how the next one takes them over as they are: whatever the owner was doing when it
// was killed is ended or undone here.
//
//   found, owner dead ─▶ claim ─▶ monitor ─▶ jobs and migrations end ─▶ rests ─▶ disks as QEMU has them ─▶ engine ─▶ goes on
//
// It goes on if its owner meant it to run (`run-intent.ts`) and QEMU has no reason of its own against it. One whose owner was killed
// in the middle of a restore or reset is half one state and half another: it rests, and can be looked into and restored, and
// nothing else.
//
// What is not known any more is not assumed: the first save looks at all memory, and checkpoints are gone.

import { randomUUID } from 'node:crypto';
import { link, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { endMigration } from './end-migration.ts';
import { findDisks } from './found-disks.ts';
import { findQemu, type QemuProcess } from './process.ts';
import { filesIn, type MachineFiles, resolveProfile } from './profile.ts';
import {
  adoptProcess,
  type LaunchedParts,
  type QemuMachine,
  type QemuMachineOptions,
} from './qemu-machine.ts';
import type { Qmp } from './qmp.ts';
import type { RunState } from './qmp-commands.ts';
import {
  discardRunDirectory,
  endProcess,
  isAlive,
  type KeptNote,
  type MachineNote,
  nameOf,
  type ProcessName,
  readNote,
  rootsThere,
  writeNote,
} from './run-directory.ts';
import { selfTest } from './self-test.ts';
import { connectSerial } from './serial-line.ts';
import { STATE_NODE_PREFIX } from './state-transfer.ts';

/** Where a machine is that is paused for no reason of its own. */
const RESTING: readonly RunState[] = [
  'running',
  'paused',
  'prelaunch',
  'postmigrate',
  'finish-migrate',
  'save-vm',
  'restore-vm',
];
const LIVE_CAPABILITIES = ['background-snapshot', 'pause-before-switchover', 'postcopy-ram'];
const LOOK_EVERY_MS = 5;
/** What was under way may write all of a machine's memory. */
const END_TIMEOUT_MS = 60_000;
const CLAIM = 'claim-';

/** A machine that runs, or rests, and is kept. */
export interface KeptMachine {
  readonly name: string;
  readonly qemu: ProcessName;
  readonly files: MachineFiles;
  readonly kept: KeptNote;
  readonly note: MachineNote;
}

/** Machines of a home whose processes are there, whoever owns them. */
export async function findKeptMachines(home: string, root?: string): Promise<KeptMachine[]> {
  const found: KeptMachine[] = [];
  for (const one of await rootsThere(root)) {
    for (const entry of await readdir(one)) {
      const files = filesIn(join(one, entry));
      const note = await readNote(files);
      if (note?.kept?.home !== home || note.qemu === null || !(await isAlive(note.qemu))) continue;
      const { inPlaceOf } = note.kept;
      if (inPlaceOf !== undefined && (await isAlive(inPlaceOf))) {
        // Its owner was killed before the other one was ended: that one is whole, and this one is nobody's.
        if (!(await isAlive(note.owner))) await endProcess(note.qemu);
        continue;
      }
      found.push({ name: note.name, qemu: note.qemu, files, kept: note.kept, note });
    }
  }
  return found;
}

/** Ends a machine that nobody has. Throws `busy` while somebody has it after all. */
export async function endKeptMachine({ name, qemu, files, note }: KeptMachine): Promise<void> {
  const { owner } = (await readNote(files)) ?? note;
  if (await isAlive(owner)) throw new VitrineError('busy', { machine: name, ownedBy: owner.pid });
  await endProcess(qemu);
  await discardRunDirectory(files);
}

export type FindOptions = Pick<QemuMachineOptions, 'root' | 'clock'>;

/**
 * Takes a machine over, under its name.
 *
 * Throws `busy` while its owner lives or another one takes it, `guest-lost`, `guest-timeout` when its monitor does not answer,
 * `disk-missing`, and what `openQemuGuest` throws. The machine runs on then, as it did, and nobody owns it.
 */
export async function adoptKeptMachine(
  found: KeptMachine,
  vitrine: Vitrine,
  options: FindOptions = {},
): Promise<QemuMachine> {
  const { kept, files, qemu } = found;
  await claim(found);
  const process = await findQemu(resolveProfile(kept.profile), files, qemu);
  let state: RunState | undefined;
  try {
    const proof = await selfTest(process.profile, options.root);
    await endWork(process.qmp);
    state = (await process.qmp.execute('query-status')).status;
    if (state === 'running') await process.qmp.execute('stop');
    const machine = await open(found, process, { vitrine, proof, ...options });
    const { guest } = machine;
    if (guest.shallRun && !guest.isTorn && RESTING.includes(state)) await machine.start();
    return machine;
  } catch (error) {
    if (state === 'running' && process.qmp.isOpen) await process.qmp.execute('cont').catch(() => {});
    await process.leave();
    await process.close();
    throw error;
  }
}

async function open(
  { name, kept: { profile, ram, disks: diskOptions, home }, qemu }: KeptMachine,
  process: QemuProcess,
  { vitrine, proof, ...options }: FindOptions & Pick<LaunchedParts, 'vitrine' | 'proof'>,
): Promise<QemuMachine> {
  const disks =
    diskOptions === null
      ? undefined
      : await findDisks(diskOptions.files, diskOptions.folder, process.qmp, qemu);
  // The machine rests: what it printed is all in its log.
  const serial = await connectSerial(process.files);
  try {
    const parts = { name, profile, process, serial, disks, proof, vitrine };
    return await adoptProcess(parts, { ...options, ram, keptFor: home });
  } catch (error) {
    serial.close();
    throw error;
  }
}

/**
 * Makes a machine ours, if its owner is gone. Of several that want it one gets it: the claim on what a dead owner had is a file
 * of that owner's name, which can be made once. Where a claimant died as well, what it claimed is claimed from it.
 */
async function claim({ name, files, note, kept }: KeptMachine): Promise<void> {
  const us = await nameOf(process.pid);
  // This process may want it twice at once.
  const own = join(files.directory, `${CLAIM}by-${us.pid}-${us.startedAt}-${randomUUID()}`);
  try {
    await writeFile(own, JSON.stringify(us), { mode: 0o600 });
  } catch (cause) {
    if (!isAbsent(cause)) throw cause;
    throw new VitrineError('guest-lost', { machine: name, reason: 'its files are gone' }, { cause });
  }
  const made: string[] = [own];
  try {
    let before: ProcessName = note.owner;
    for (;;) {
      if (await isAlive(before)) throw new VitrineError('busy', { machine: name, ownedBy: before.pid });
      const path = join(files.directory, `${CLAIM}on-${before.pid}-${before.startedAt}`);
      if (await isLinked(own, path)) {
        made.push(path);
        break;
      }
      try {
        before = JSON.parse(await readFile(path, 'utf8')) as ProcessName;
      } catch (cause) {
        // Whoever had claimed it is done in the meantime, one way or the other.
        if (!isAbsent(cause)) throw cause;
      }
    }
    // Whoever had it in the meantime has removed its claim, and stands in the note.
    const now = await readNote(files);
    const isSame = now?.owner.pid === note.owner.pid && now.owner.startedAt === note.owner.startedAt;
    if (!isSame) throw new VitrineError('busy', { machine: name, ownedBy: now?.owner.pid ?? 0 });
    await writeNote(files, { name, owner: us, qemu: note.qemu, kept });
  } finally {
    for (const path of made.reverse()) await rm(path, { force: true });
  }
}

function isAbsent(cause: unknown): boolean {
  return (cause as NodeJS.ErrnoException).code === 'ENOENT';
}

async function isLinked(existing: string, path: string): Promise<boolean> {
  try {
    await link(existing, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Ends what the owner before had under way, and takes away what it left in the machine. Throws `guest-timeout`. */
async function endWork(qmp: Qmp): Promise<void> {
  await endMigration(qmp);
  await qmp.execute('migrate-set-capabilities', {
    capabilities: LIVE_CAPABILITIES.map((capability) => ({ capability, state: false })),
  });
  const until = Date.now() + END_TIMEOUT_MS;
  for (;;) {
    const jobs = await qmp.execute('query-jobs');
    if (jobs.length === 0) break;
    for (const { id, status } of jobs) {
      if (status === 'concluded') await qmp.execute('job-dismiss', { id });
    }
    if (Date.now() > until)
      throw new VitrineError('guest-timeout', { command: 'query-jobs', timeoutMs: END_TIMEOUT_MS });
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  for (const { 'node-name': node } of await qmp.execute('query-named-block-nodes', { flat: true })) {
    if (node?.startsWith(STATE_NODE_PREFIX)) await qmp.execute('blockdev-del', { 'node-name': node });
  }
}
