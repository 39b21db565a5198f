// Whose a store is at the moment: beside its folder lies a note of the bridge that serves it. Bridges find each other by their token
// files, in a run directory; this is for those that have another one, and for who works on a store without any bridge.
//
// The note names a process, not a number that another one may have by now, so that one of a bridge that was killed says nothing. Where
// the system does not tell when a process began, there is none. A process in another container is not seen.

import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { VitrineError } from '../../base/error.ts';
import { findKeptMachines } from '../qemu/kept-machine.ts';
import { isAlive, nameOf, type ProcessName } from '../qemu/run-directory.ts';

const MAX_TRIES = 8;

/** Gives a store back. May be called again. */
export type ReleaseStore = () => Promise<void>;

function noteOf(store: string): string {
  return `${store}.bridge.json`;
}

/** Takes a store, by the real path of its folder, for a bridge of this process. Throws `busy` with the process that has it. */
export async function holdStore(store: string): Promise<ReleaseStore> {
  const self = await nameOf(process.pid).catch(() => undefined);
  if (self === undefined) return async () => {};
  const path = noteOf(store);
  const own = `${path}.${randomUUID()}`;
  await writeFile(own, JSON.stringify(self), { mode: 0o600 });
  try {
    for (let tries = 1; !(await place(own, path)); tries++) {
      const holder = await holderOf(store);
      if (holder !== undefined || tries === MAX_TRIES) {
        throw new VitrineError('busy', { store, ...(holder === undefined ? {} : { pid: holder.pid }) });
      }
      await takeAway(path, own);
    }
  } finally {
    await rm(own, { force: true });
  }
  return async () => {
    const holder = await holderOf(store);
    if (holder?.pid === self.pid) await rm(path, { force: true });
  };
}

/** The bridge that serves a store, if one does. */
export async function holderOf(store: string): Promise<ProcessName | undefined> {
  try {
    const { pid, startedAt } = JSON.parse(await readFile(noteOf(store), 'utf8')) as Partial<ProcessName>;
    if (typeof pid !== 'number' || typeof startedAt !== 'string') return undefined;
    return (await isAlive({ pid, startedAt })) ? { pid, startedAt } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Throws `busy` with who it is where a bridge serves the store, or a machine stands on its disks that no bridge has at the moment: the
 * next one saves it.
 */
export async function requireAtRest(store: string, runRoot: string | undefined): Promise<void> {
  const holder = await holderOf(store);
  if (holder !== undefined) throw new VitrineError('busy', { store, bridge: holder.pid });
  const kept = await findKeptMachines(store, runRoot);
  const machine = kept.find(({ kept: { disks } }) => disks !== null);
  if (machine === undefined) return;
  const wants = 'vitrine serve: it takes the machine over, and collects beside it';
  throw new VitrineError('busy', { store, machine: machine.name, pid: machine.qemu.pid, wants });
}

/** In one step, and by one process alone. */
async function place(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes a note of one that is gone. What another process has put there in the meantime is put back. */
async function takeAway(path: string, own: string): Promise<void> {
  const aside = `${own}.old`;
  try {
    await rename(path, aside);
  } catch {
    // Somebody else was faster.
    return;
  }
  const note = await readFile(aside, 'utf8').then(
    (text) => JSON.parse(text) as ProcessName,
    () => undefined,
  );
  if (note !== undefined && (await isAlive(note).catch(() => false))) await place(aside, path);
  await rm(aside, { force: true });
}
