// One QEMU process: started from a profile, connected, watched, and ended with nothing left behind.
//
// What it says on standard error is kept, to a bound, and stands in the error when it does not start or is lost.

import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { access, rm } from 'node:fs/promises';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import { KIB } from '../../base/limits.ts';
import {
  argumentsOf,
  type MachineFiles,
  type QemuProfile,
  type ResolvedProfile,
  resolveProfile,
} from './profile.ts';
import { connectQmp, type Qmp } from './qmp.ts';
import { makeRunDirectory, nameOf, writeNote } from './run-directory.ts';

const START_TIMEOUT_MS = 30_000;
const QUIT_TIMEOUT_MS = 5_000;
/** The end of what QEMU says: its reason comes last. */
const KEPT_STDERR_BYTES = 16 * KIB;
/** Of that, what goes into an error. */
const TOLD_STDERR_BYTES = 2 * KIB;

export interface LaunchOptions {
  /** Where run directories are made. */
  readonly root?: string;
  /** Whether the machine goes on when this process ends. Otherwise it is ended with it. */
  readonly outlives?: boolean;
}

/** Machines that are to be ended when this process is. */
const ending = new Set<QemuProcess>();
let isHooked = false;

/**
 * Starts a QEMU that is connected and does not run yet.
 *
 * Throws `argument-invalid`, `memory-exhausted`, `guest-start` with what QEMU said; nothing is left behind then.
 */
export async function launchQemu(
  name: string,
  profile: QemuProfile,
  options: LaunchOptions = {},
): Promise<QemuProcess> {
  const resolved = resolveProfile(profile);
  const outlives = options.outlives ?? false;
  // A clone's RAM is the image's until it writes.
  const ramBytes = resolved.ramImage === undefined ? resolved.memoryBytes : 0;
  const files = await makeRunDirectory(name, outlives, options.root, ramBytes);
  const machine = new QemuProcess(resolved, files);
  if (!outlives) endWithUs(machine);
  try {
    await machine.start(name, outlives);
    return machine;
  } catch (error) {
    await machine.close();
    throw error;
  }
}

/** How a process ended. */
export interface QemuExit {
  readonly exitCode: number | null;
  readonly signal: string | null;
}

export class QemuProcess {
  readonly profile: ResolvedProfile;
  readonly files: MachineFiles;
  readonly #arguments: readonly string[];
  #child: ChildProcess | undefined;
  #qmp: Qmp | undefined;
  #stderr = Buffer.alloc(0);
  /** All that it said, of which the end is kept. */
  #saidBytes = 0;
  #exit: QemuExit | undefined;
  #spawnError: Error | undefined;
  readonly #exited: Promise<void>;
  #settleExited!: () => void;
  #closing: Promise<void> | undefined;

  constructor(profile: ResolvedProfile, files: MachineFiles) {
    this.profile = profile;
    this.files = files;
    this.#arguments = argumentsOf(profile, files);
    this.#exited = new Promise((resolve) => {
      this.#settleExited = resolve;
    });
  }

  /** The monitor. Throws `guest-closed` before it is connected. */
  get qmp(): Qmp {
    if (this.#qmp === undefined) throw new VitrineError('guest-closed');
    return this.#qmp;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** The command line, for people. */
  get commandLine(): readonly string[] {
    return [this.profile.program, ...this.#arguments];
  }

  /** The end of what it said on standard error. */
  get stderr(): string {
    return this.#stderr.toString('utf8').trim();
  }

  /** A place in what it says, for `saidSince`. */
  get saidBytes(): number {
    return this.#saidBytes;
  }

  /** What it said since; its end where that was more than is kept. */
  saidSince(saidBytes: number): string {
    const count = Math.min(this.#saidBytes - saidBytes, this.#stderr.length);
    return this.#stderr
      .subarray(this.#stderr.length - count)
      .toString('utf8')
      .trim();
  }

  /** Resolves when the process has ended, for whatever reason. */
  get exited(): Promise<void> {
    return this.#exited;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#exit === undefined && this.#spawnError === undefined;
  }

  /** Spawns and connects. Throws `guest-start`. */
  async start(name: string, outlives: boolean): Promise<void> {
    const child = spawn(this.profile.program, this.#arguments, {
      stdio: ['ignore', 'ignore', 'pipe'],
      // A group of its own: an interrupt typed at a terminal is for us, not for it.
      detached: true,
    });
    this.#child = child;
    child.once('error', (error) => {
      this.#spawnError = error;
      this.#settleExited();
    });
    child.once('exit', (exitCode, signal) => {
      this.#exit = { exitCode, signal };
    });
    // After `close` all that it said has arrived.
    child.once('close', () => this.#settleExited());
    child.stderr!.on('data', (chunk: Buffer) => {
      this.#saidBytes += chunk.length;
      this.#stderr = Buffer.concat([this.#stderr, chunk]).subarray(-KEPT_STDERR_BYTES);
    });
    await this.#socketsThere();
    const owner = await nameOf(process.pid);
    await writeNote(this.files, { name, owner, qemu: await this.#name(), outlives });
    try {
      this.#qmp = await connectQmp(this.files.qmp, { explain: () => this.#reason() });
    } catch (error) {
      // It listens before it has looked at all that it was told.
      if (isVitrineError(error, 'guest-lost')) throw await this.#startError();
      throw error;
    }
  }

  /** Ends it: asked first, then killed. Removes its files. May be called again. */
  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  /** Ends it without asking: one that waits for its own memory cannot answer. `close` removes its files. */
  kill(): void {
    if (this.isRunning) this.#child?.kill('SIGKILL');
  }

  /** As `close`, at once, where there is no time: when this process exits. */
  closeNow(): void {
    this.kill();
    rmSync(this.files.directory, { recursive: true, force: true });
  }

  async #end(): Promise<void> {
    if (this.isRunning) {
      const asked = this.#qmp?.execute('quit', undefined, { timeoutMs: QUIT_TIMEOUT_MS }).catch(() => {});
      const kill = setTimeout(() => this.#child?.kill('SIGKILL'), asked === undefined ? 0 : QUIT_TIMEOUT_MS);
      await this.#exited;
      clearTimeout(kill);
    }
    this.#qmp?.close();
    await rm(this.files.directory, { recursive: true, force: true });
    ending.delete(this);
  }

  async #name(): Promise<{ pid: number; startedAt: string }> {
    try {
      return await nameOf(this.pid);
    } catch {
      throw await this.#startError();
    }
  }

  /** QEMU makes its sockets before it answers; it offers no other sign that a parent without descriptors to pass can see. */
  async #socketsThere(): Promise<void> {
    const until = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      if (!this.isRunning) throw await this.#startError();
      const there = await Promise.all([isThere(this.files.qmp), isThere(this.files.serial)]);
      if (there.every((one) => one)) return;
      if (Date.now() > until) throw await this.#startError();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  async #startError(): Promise<VitrineError> {
    const { program } = this.profile;
    const cause = this.#spawnError;
    if (cause !== undefined) {
      const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
      const said = isMissing ? 'there is no such program; install QEMU' : cause.message;
      return new VitrineError('guest-start', { program, said }, { cause });
    }
    if (this.#exit === undefined) this.#child?.kill('SIGKILL');
    await this.#exited;
    return new VitrineError('guest-start', { program, ...this.#told() });
  }

  /** Why the monitor's connection ended: the process's own words, once it is gone. */
  async #reason(): Promise<Readonly<Record<string, string | number>>> {
    const kept = new Promise<void>((resolve) => setTimeout(resolve, QUIT_TIMEOUT_MS).unref());
    await Promise.race([this.#exited, kept]);
    return this.#told();
  }

  #told(): Readonly<Record<string, string | number>> {
    const { exitCode, signal } = this.#exit ?? { exitCode: null, signal: null };
    return {
      ...(exitCode === null ? {} : { exitCode }),
      ...(signal === null ? {} : { signal }),
      said: this.stderr.slice(-TOLD_STDERR_BYTES),
    };
  }
}

function endWithUs(machine: QemuProcess): void {
  ending.add(machine);
  if (isHooked) return;
  isHooked = true;
  process.on('exit', () => {
    for (const one of ending) one.closeNow();
  });
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
