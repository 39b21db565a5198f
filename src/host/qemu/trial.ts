// What QEMU can do is tried, not believed: a machine of a program of ours, started for the trial, ended after it.
//
// It comes out as it would for others of its program and accelerator whose RAM lies in the same file system: memory files are told
// when they are written, files on a disk are not, and QEMU 10.0 that asks for it there aborts.

import { statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launchQemu, type QemuProcess } from './process.ts';
import type { QemuProfile, ResolvedProfile } from './profile.ts';

/** Whose trial it is: another program or accelerator may come out otherwise. */
export type Tried = Pick<ResolvedProfile, 'program' | 'accelerator'>;

/** A trial, and how it came out. */
export interface Trial<Outcome> {
  (tried: Tried, root?: string): Promise<Outcome>;
  /** Undefined where it was not held yet; nothing is tried for it. */
  known(tried: Tried, root?: string): Outcome | undefined;
}

/**
 * A trial that is held once a process for each program, accelerator and file system of `root`; one that could not be held is held
 * again.
 */
export function onceForEach<Outcome>(
  hold: (tried: Tried, root: string | undefined) => Promise<Outcome>,
): Trial<Outcome> {
  const outcomes = new Map<string, Promise<Outcome>>();
  const settled = new Map<string, Outcome>();
  const trial = (tried: Tried, root?: string): Promise<Outcome> => {
    const key = keyOf(tried, root);
    let outcome = outcomes.get(key);
    if (outcome === undefined) {
      outcome = hold(tried, root);
      outcomes.set(key, outcome);
      outcome.then(
        (known) => settled.set(key, known),
        () => outcomes.delete(key),
      );
    }
    return outcome;
  };
  return Object.assign(trial, { known: (tried: Tried, root?: string) => settled.get(keyOf(tried, root)) });
}

function keyOf({ accelerator, program }: Tried, root: string | undefined): string {
  return `${accelerator} ${fileSystemOf(root)} ${program}`;
}

/** Any name of it: no two that are there at one time have the same. */
function fileSystemOf(root: string | undefined): string {
  if (root === undefined) return 'usual';
  return String(statSync(root, { throwIfNoEntry: false })?.dev ?? root);
}

/** Runs `work` with a machine of this firmware; nothing of it is left behind. Throws `guest-start` when QEMU does not start. */
export async function withTrialMachine<T>(
  name: string,
  rom: Uint8Array,
  profile: Omit<QemuProfile, 'bios'>,
  root: string | undefined,
  work: (process: QemuProcess) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), `vitrine-${name}-`));
  try {
    const bios = join(directory, 'rom.bin');
    await writeFile(bios, rom);
    const process = await launchQemu(name, { ...profile, bios }, root === undefined ? {} : { root });
    try {
      return await work(process);
    } finally {
      await process.close();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
