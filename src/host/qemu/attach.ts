// Machines that others started: all that is needed is the path of a monitor, and to be quick the right to look into the process.
// Nothing of theirs is changed but for the time in which it is needed, and they go on when we leave.
//
//   monitor ─▶ what kind of machine it is      RAM ─▶ /proc/PID/mem, or with the state      state ─▶ files that QEMU writes
//
// Whoever is killed while it holds one leaves a note, by which the next one lets it go on (`left-machines.ts`).
//
// QEMU's standard error is not ours to read: a complaint that is told there alone is not heard. Disks are not saved: a restore of
// a machine with a disk that it can write is refused, since the disk would not go back with it, unless the caller sees to that.

import { readdir, readFile, readlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Clock, SYSTEM_CLOCK } from '../../base/clock.ts';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import type { Machine } from '../../engine/machine.ts';
import { MACHINE_NAME_PATTERN } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { loadKernels } from '../../kernel/load.ts';
import { openScanTracker } from '../../tracking/scan-tracker.ts';
import type { QemuHost } from './guest-options.ts';
import { continueLeftMachines } from './left-machines.ts';
import { openProcessRam } from './process-ram.ts';
import { type QemuProfile, type ResolvedProfile, resolveProfile } from './profile.ts';
import { openQemuGuest, type QemuGuest } from './qemu-guest.ts';
import { connectQmp, type Qmp } from './qmp.ts';
import { discardRunDirectory, makeRunDirectory, nameOf, socketFileAt, writeNote } from './run-directory.ts';
import { RunIntent } from './run-intent.ts';
import { IGNORE_SHARED, STATE_NODE_PREFIX } from './state-transfer.ts';

/** How long a monitor may take until it greets; one that serves another never does. */
const GREETING_TIMEOUT_MS = 5_000;

export interface AttachOptions {
  /**
   * How its RAM is read and written: `process` by `/proc/PID/mem`; `monitor` by states that QEMU writes and loads, which needs no
   * right and costs all of RAM in each pause. The first that is allowed when left out.
   */
  readonly memory?: 'process' | 'monitor';
  /** The machine's process; found by its monitor when left out. */
  readonly pid?: number;
  /** Where files for state are made; QEMU has to be able to write there. */
  readonly root?: string;
  readonly clock?: Clock;
  /** `others` put disks back before a restore; without it a machine that can write to a disk is not restored. */
  readonly disks?: 'others';
}

/**
 * Takes a machine that runs under the engine, over its monitor at `path`. It goes on meanwhile, but for the moment in which its
 * devices are asked what they are.
 *
 * Throws `guest-lost` where nobody listens, `busy` where another one has the monitor, `not-found` where the process is not, `unsupported` where it may not be looked into, where
 * it has memory of other kinds, or a device that cannot be saved. The machine is as before then.
 */
export async function attachQemu(
  name: string,
  path: string,
  vitrine: Vitrine,
  options: AttachOptions = {},
): Promise<AttachedMachine> {
  if (!MACHINE_NAME_PATTERN.test(name))
    throw new VitrineError('argument-invalid', { name: 'name', value: name });
  const socket = resolve(path);
  // Of an earlier attacher that was killed: it may be this very machine.
  await continueLeftMachines(options.root);
  let onCall = (_command: string): void => {};
  const qmp = await connectMonitor(path, (command) => onCall(command));
  let host: AttachedHost | undefined;
  try {
    const profile = await profileOf(qmp);
    const { pid, memory } = await chooseMemory(qmp, path, profile.memoryBytes, options);
    const ignoredShared = await isIgnoringShared(qmp);
    const files = await makeRunDirectory(name, options.root);
    const intent = new RunIntent(files.intent);
    host = new AttachedHost({ qmp, pid, profile, files, ignoredShared, intent });
    const owner = await nameOf(process.pid);
    const attached = { socket, socketFile: (await socketFileAt(socket)) ?? '', ignoredShared };
    await writeNote(files, { name, owner, qemu: null, kept: null, attached });
    const { running } = await qmp.execute('query-status');
    onCall = noteHolding(qmp, intent, running);
    if (running) await qmp.execute('stop');
    try {
      const disk = options.disks === 'others' ? undefined : await writableDisk(qmp);
      const restoreFault = disk && `disk ${disk} would not go back with it`;
      const guest = await openQemuGuest(host, {
        ram: memory === 'process' ? 'private' : 'monitor',
        restoreFault,
        intent,
      });
      const tracker = await openScanTracker(guest, {
        openKernels: () => loadKernels(),
        clock: options.clock ?? SYSTEM_CLOCK,
      });
      const machine = vitrine.adopt(name, tracker);
      return new AttachedMachine({ vitrine, machine, guest, memory, lost: qmp.closed });
    } finally {
      if (running) await qmp.execute('cont');
    }
  } catch (error) {
    await host?.close();
    qmp.close();
    throw error;
  }
}

/** A monitor serves one client at a time, and lets the next one wait without a word. */
async function connectMonitor(path: string, onCall: (command: string) => void): Promise<Qmp> {
  try {
    return await connectQmp(path, { onCall, greetingTimeoutMs: GREETING_TIMEOUT_MS });
  } catch (error) {
    if (!isVitrineError(error, 'guest-timeout') || error.data.command !== 'greeting') throw error;
    const hint = 'End what has its monitor, or start QEMU with a second one: -qmp may be given twice.';
    throw new VitrineError(
      'busy',
      { socket: path, reason: 'its monitor serves another', hint },
      { cause: error },
    );
  }
}

/**
 * Writes down that it is we who stop the machine, before we do, and that it goes on again: it is let go on if we are killed in between. One
 * that its owner stopped rests. Returns what hears our commands.
 */
function noteHolding(qmp: Qmp, intent: RunIntent, isRunning: boolean): (command: string) => void {
  let runs = isRunning;
  qmp.onEvent(({ event }) => {
    if (event === 'STOP') runs = false;
    if (event !== 'RESUME') return;
    runs = true;
    intent.setShallRun(false);
  });
  return (command) => {
    if (command === 'stop' && runs) intent.setShallRun(true);
    if (command === 'cont' && runs) intent.setShallRun(false);
  };
}

interface AttachedParts {
  readonly vitrine: Vitrine;
  readonly machine: Machine;
  readonly guest: QemuGuest;
  readonly memory: 'process' | 'monitor';
  readonly lost: Promise<VitrineError>;
}

/** A machine that is not ours. */
export class AttachedMachine {
  /** Save, restore, checkpoint, reset, peek, diff. */
  readonly machine: Machine;
  readonly guest: QemuGuest;
  /** How its RAM is read and written. */
  readonly memory: 'process' | 'monitor';
  /** Resolves, with the reason, when its process is gone, or when it was left. */
  readonly lost: Promise<VitrineError>;
  readonly #vitrine: Vitrine;

  constructor({ vitrine, machine, guest, memory, lost }: AttachedParts) {
    this.memory = memory;
    this.lost = lost;
    this.#vitrine = vitrine;
    this.machine = machine;
    this.guest = guest;
  }

  /** Lets it run. */
  start(): Promise<void> {
    return this.guest.start();
  }

  /** Stops it until `start`. */
  stop(): Promise<void> {
    return this.guest.stop();
  }

  /** Leaves it: it goes on as it is, with nothing of ours in it. May be called again. */
  async detach(): Promise<void> {
    this.#vitrine.release(this.machine);
    await this.machine.close();
  }
}

class AttachedHost implements QemuHost {
  readonly qmp: Qmp;
  readonly pid: number;
  readonly profile: ResolvedProfile;
  readonly files: QemuHost['files'];
  /** What rings in it is its owner's. */
  readonly bell = undefined;
  /** It is not ours to hear. */
  readonly saidBytes = 0;
  readonly #ignoredShared: boolean;
  readonly #intent: RunIntent;
  #closing: Promise<void> | undefined;

  constructor(
    parts: Pick<QemuHost, 'qmp' | 'pid' | 'profile' | 'files'> & {
      readonly ignoredShared: boolean;
      readonly intent: RunIntent;
    },
  ) {
    this.qmp = parts.qmp;
    this.pid = parts.pid;
    this.profile = parts.profile;
    this.files = parts.files;
    this.#ignoredShared = parts.ignoredShared;
    this.#intent = parts.intent;
  }

  /** As far as anybody knows. */
  readonly hasRun = true;

  saidSince(): string {
    return '';
  }

  /** Leaves the process, which goes on. */
  close(): Promise<void> {
    this.#closing ??= this.#leave();
    return this.#closing;
  }

  async #leave(): Promise<void> {
    try {
      await this.#takeAway();
    } catch (error) {
      // A machine that is gone has nothing of ours left.
      if (!isVitrineError(error)) throw error;
    }
    this.qmp.close();
    this.#intent.close();
    await discardRunDirectory(this.files);
  }

  /** Our nodes, and the capability that we switched on. */
  async #takeAway(): Promise<void> {
    if (!this.qmp.isOpen) return;
    for (const node of await this.qmp.execute('query-named-block-nodes', { flat: true })) {
      const name = (node as { readonly 'node-name'?: unknown })['node-name'];
      if (typeof name !== 'string' || !name.startsWith(STATE_NODE_PREFIX)) continue;
      await this.qmp.execute('blockdev-del', { 'node-name': name });
    }
    await this.qmp.execute('migrate-set-capabilities', {
      capabilities: [{ capability: IGNORE_SHARED, state: this.#ignoredShared }],
    });
  }
}

/** The way to its RAM that is allowed, or the one that was asked for. */
async function chooseMemory(
  qmp: Qmp,
  path: string,
  memoryBytes: number,
  options: AttachOptions,
): Promise<{ readonly pid: number; readonly memory: 'process' | 'monitor' }> {
  if (options.memory === 'monitor') return { pid: 0, memory: 'monitor' };
  try {
    const pid = options.pid ?? (await processListeningAt(path));
    (await openProcessRam(qmp, pid, memoryBytes)).close();
    return { pid, memory: 'process' };
  } catch (error) {
    const isRefused = isVitrineError(error, 'unsupported') || isVitrineError(error, 'not-found');
    if (!isRefused || options.memory === 'process') throw error;
    return { pid: 0, memory: 'monitor' };
  }
}

/** What a machine is, as it tells itself. */
async function profileOf(qmp: Qmp): Promise<ResolvedProfile> {
  const type = String(await qmp.execute('qom-get', { path: '/machine', property: 'type' }));
  const cpus = await qmp.execute('query-cpus-fast');
  const cpuPath = cpus[0]!['qom-path'];
  const cpu = String(await qmp.execute('qom-get', { path: cpuPath, property: 'type' }));
  const { enabled } = await qmp.execute('query-kvm');
  const memory = await qmp.execute('query-memory-size-summary');
  if ((memory['plugged-memory'] ?? 0) !== 0) {
    throw new VitrineError('unsupported', { missing: 'machines without memory that was plugged in' });
  }
  const profile: QemuProfile = {
    machine: type.replace(/-machine$/, ''),
    cpus: cpus.length,
    cpu: cpu.replace(/-x86_64-cpu$/, ''),
    accelerator: enabled ? 'kvm' : 'tcg',
    memoryBytes: memory['base-memory'],
  };
  return resolveProfile(profile);
}

async function isIgnoringShared(qmp: Qmp): Promise<boolean> {
  const capabilities = await qmp.execute('query-migrate-capabilities');
  return capabilities.some(({ capability, state }) => capability === IGNORE_SHARED && state);
}

/** A disk that the machine can write, undefined where there is none. */
async function writableDisk(qmp: Qmp): Promise<string | undefined> {
  const written = (await qmp.execute('query-block')).find(({ inserted }) => inserted?.ro === false);
  return written && (written.device || written.qdev || 'without a name');
}

/** The process that listens at a socket's path. Throws `not-found` where none does, or none that we may know of. */
async function processListeningAt(path: string): Promise<number> {
  const sockets = await readFile('/proc/net/unix', 'latin1');
  const inodes = sockets
    .split('\n')
    .filter((line) => line.endsWith(` ${path}`))
    .map((line) => `socket:[${line.trim().split(/\s+/)[6]}]`);
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    if (await holdsOne(entry, inodes)) return Number(entry);
  }
  throw new VitrineError('not-found', { what: 'a process that listens there', path });
}

async function holdsOne(pid: string, sockets: readonly string[]): Promise<boolean> {
  try {
    for (const descriptor of await readdir(`/proc/${pid}/fd`)) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
      if (sockets.includes(target)) return true;
    }
    return false;
  } catch {
    // It ended meanwhile, or is another user's.
    return false;
  }
}
