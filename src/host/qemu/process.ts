// One QEMU process: started from a profile, connected, watched, and ended with nothing left behind.
//
// What it says on standard error is kept, to a bound, and stands in the error when it does not start or is lost. A process may also
// be found, with its files, after whoever started it has left it or was killed.

import { rmSync } from 'node:fs';
import { access, rm } from 'node:fs/promises';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import { KIB } from '../../base/limits.ts';
import { AppendedFile } from './appended-file.ts';
import { connectBell, type QemuBell } from './bell.ts';
import {
  argumentsOf,
  type MachineFiles,
  type QemuProfile,
  type ResolvedProfile,
  resolveProfile,
} from './profile.ts';
import { FoundChild, type QemuChild, spawnQemu } from './qemu-child.ts';
import { connectQmp, type Qmp } from './qmp.ts';
import {
  type KeptNote,
  makeRunDirectory,
  NOBODY,
  nameOf,
  type ProcessName,
  readNote,
  writeNote,
} from './run-directory.ts';

const START_TIMEOUT_MS = 30_000;
const QUIT_TIMEOUT_MS = 5_000;
/** Its monitor serves one client at a time: without an answer, another one is served. */
const FIND_TIMEOUT_MS = 5_000;
/** The end of what QEMU says: its reason comes last. */
const KEPT_STDERR_BYTES = 16 * KIB;
/** Of that, what goes into an error. */
const TOLD_STDERR_BYTES = 2 * KIB;

export interface LaunchOptions {
  /** Where run directories are made. */
  readonly root?: string;
}

/** Machines that are to be ended when this process is. */
const ending = new Set<QemuProcess>();
let isHooked = false;

/**
 * Starts a QEMU that is connected and does not run yet. It ends with this process unless it is kept.
 *
 * Throws `argument-invalid`, `memory-exhausted`, `guest-start` with what QEMU said; nothing is left behind then.
 */
export async function launchQemu(
  name: string,
  profile: QemuProfile,
  options: LaunchOptions = {},
): Promise<QemuProcess> {
  const resolved = resolveProfile(profile);
  // A clone's RAM is the image's until it writes.
  const ramBytes = resolved.ramImage === undefined ? resolved.memoryBytes : 0;
  const files = await makeRunDirectory(name, options.root, ramBytes);
  const machine = new QemuProcess(resolved, files);
  endWithUs(machine);
  try {
    await machine.start(name);
    return machine;
  } catch (error) {
    await machine.close();
    throw error;
  }
}

/**
 * Connects to a process that runs already, in a run directory that is ours by now; it is kept as it was.
 *
 * Throws `guest-lost`, and `guest-timeout` when its monitor serves another one. The process runs on then.
 */
export async function findQemu(
  profile: ResolvedProfile,
  files: MachineFiles,
  name: ProcessName,
): Promise<QemuProcess> {
  const machine = new QemuProcess(profile, files);
  try {
    await machine.find(name);
    return machine;
  } catch (error) {
    await machine.leave();
    await machine.close();
    throw error;
  }
}

export class QemuProcess {
  readonly profile: ResolvedProfile;
  readonly files: MachineFiles;
  readonly #arguments: readonly string[];
  readonly #said: AppendedFile;
  #child: QemuChild | undefined;
  #qmp: Qmp | undefined;
  #bell: QemuBell | undefined;
  #hasRun = false;
  /** Its words, once its files are gone. */
  #lastWords = '';
  #isLeft = false;
  #closing: Promise<void> | undefined;

  constructor(profile: ResolvedProfile, files: MachineFiles) {
    this.profile = profile;
    this.files = files;
    this.#arguments = argumentsOf(profile, files);
    this.#said = new AppendedFile(files.said);
  }

  /** The monitor. Throws `guest-closed` before it is connected. */
  get qmp(): Qmp {
    if (this.#qmp === undefined) throw new VitrineError('guest-closed');
    return this.#qmp;
  }

  /** Its doorbell, where its profile has one. */
  get bell(): QemuBell | undefined {
    return this.#bell;
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
    return textOf(this.#said.tail(KEPT_STDERR_BYTES)) || this.#lastWords;
  }

  /** A place in what it says, for `saidSince`. */
  get saidBytes(): number {
    return this.#said.saidBytes;
  }

  /** What it said since; its end where that was more than is kept. */
  saidSince(saidBytes: number): string {
    return textOf(this.#said.since(saidBytes));
  }

  /** Resolves when the process has ended, for whatever reason. */
  get exited(): Promise<void> {
    return this.#child?.exited ?? Promise.resolve();
  }

  /** Whether the machine in it ran since it was started; so it is said of one that was found. */
  get hasRun(): boolean {
    return this.#hasRun || this.wasFound;
  }

  /** Whether another process started it. */
  get wasFound(): boolean {
    return this.#child instanceof FoundChild;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && !hasEnded(this.#child);
  }

  /** Spawns and connects. Throws `guest-start`. */
  async start(name: string): Promise<void> {
    this.#child = spawnQemu(this.profile.program, this.#arguments, this.#said.descriptor);
    const owner = await nameOf(process.pid);
    // Before it is known to have come up: whoever finds it without us is to end it.
    await writeNote(this.files, { name, owner, qemu: await this.#name(), kept: null });
    await this.#socketsThere();
    try {
      await this.#connect();
    } catch (error) {
      // It listens before it has looked at all that it was told.
      if (isVitrineError(error, 'guest-lost')) throw await this.#startError();
      throw error;
    }
  }

  /** Connects to a process that runs. */
  async find(name: ProcessName): Promise<void> {
    this.#child = new FoundChild(name);
    await this.#connect(FIND_TIMEOUT_MS);
  }

  /** From now on it goes on when this process ends, and whoever has the same `home` finds it by this name. Throws `guest-lost`. */
  async keep(name: string, kept: KeptNote): Promise<void> {
    const owner = await nameOf(process.pid);
    const qemu = await nameOf(this.pid).catch(async (cause: unknown) => {
      throw new VitrineError('guest-lost', await this.#reason(), { cause });
    });
    await writeNote(this.files, { name, owner, qemu, kept });
    ending.delete(this);
  }

  /** It is the machine of this name from now on, to whoever finds its files. */
  async rename(name: string): Promise<void> {
    const note = await readNote(this.files);
    if (note !== undefined) await writeNote(this.files, { ...note, name });
  }

  /** The machine moved here from another process, and whoever has its bell goes on with that. Both rest. */
  async takeBell(before: QemuProcess): Promise<void> {
    const bell = before.#bell;
    if (bell === undefined || this.#bell === undefined) return;
    await bell.follow(this.#bell);
    this.#bell = bell;
    before.#bell = undefined;
  }

  /** It is nobody's from now on, and the next one may have it: `close` ends the connection alone. For one that is kept. */
  async leave(): Promise<void> {
    if (this.#isLeft || this.#closing !== undefined) return;
    this.#isLeft = true;
    const note = await readNote(this.files);
    if (note !== undefined) await writeNote(this.files, { ...note, owner: NOBODY });
  }

  /** Ends it: asked first, then killed. Removes its files. May be called again. */
  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  /** Ends it without asking: one that waits for its own memory cannot answer. `close` removes its files. */
  kill(): void {
    if (this.isRunning) this.#child?.kill();
  }

  /** As `close`, at once, where there is no time: when this process exits. */
  closeNow(): void {
    this.kill();
    rmSync(this.files.directory, { recursive: true, force: true });
  }

  async #end(): Promise<void> {
    if (this.#isLeft) {
      this.#child?.leave();
      this.#bell?.close();
      this.#qmp?.close();
      this.#said.close();
      return;
    }
    if (this.isRunning) {
      const asked = this.#qmp?.execute('quit', undefined, { timeoutMs: QUIT_TIMEOUT_MS }).catch(() => {});
      const kill = setTimeout(() => this.#child?.kill(), asked === undefined ? 0 : QUIT_TIMEOUT_MS);
      await this.exited;
      clearTimeout(kill);
    }
    this.#bell?.close();
    this.#qmp?.close();
    this.#lastWords = this.stderr;
    this.#said.close();
    await rm(this.files.directory, { recursive: true, force: true });
    ending.delete(this);
  }

  async #connect(timeoutMs?: number): Promise<void> {
    const explain = () => this.#reason();
    const options = timeoutMs === undefined ? { explain } : { explain, greetingTimeoutMs: timeoutMs };
    this.#qmp = await connectQmp(this.files.qmp, options);
    this.#qmp.onEvent(({ event }) => {
      if (event === 'RESUME') this.#hasRun = true;
    });
    // Before any state is loaded: it says that somebody is there.
    if (this.profile.bell) this.#bell = await connectBell(this.files.bell, this.#qmp);
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
    // One that could not be started has no id, and says why in a moment.
    if (this.pid === 0) await this.exited;
    const cause = this.#child?.spawnError;
    if (cause !== undefined) {
      const { code } = cause as NodeJS.ErrnoException;
      // Where a folder of the path may not be looked into, a program that is nowhere is said to be forbidden.
      const isMissing = code === 'ENOENT' || (code === 'EACCES' && !program.includes('/'));
      const said = isMissing ? 'there is no such program; install QEMU' : cause.message;
      return new VitrineError('guest-start', { program, said }, { cause });
    }
    this.kill();
    await this.exited;
    return new VitrineError('guest-start', { program, ...this.#told() });
  }

  /** Why the monitor's connection ended: the process's own words, once it is gone. */
  async #reason(): Promise<Readonly<Record<string, string | number>>> {
    const kept = new Promise<void>((resolve) => setTimeout(resolve, QUIT_TIMEOUT_MS).unref());
    await Promise.race([this.exited, kept]);
    return this.#told();
  }

  #told(): Readonly<Record<string, string | number>> {
    const { exitCode, signal } = this.#child?.exit ?? { exitCode: null, signal: null };
    return {
      ...(exitCode === null ? {} : { exitCode }),
      ...(signal === null ? {} : { signal }),
      said: this.stderr.slice(-TOLD_STDERR_BYTES),
    };
  }
}

function hasEnded({ exit, spawnError }: QemuChild): boolean {
  return exit !== undefined || spawnError !== undefined;
}

function textOf(bytes: Buffer): string {
  return bytes.toString('utf8').trim();
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
