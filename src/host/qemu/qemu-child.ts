// A process of QEMU as the system sees it: one that we started, or one that an owner before us started and that runs on.

import { type ChildProcess, spawn } from 'node:child_process';
import { endProcess, isAlive, type ProcessName } from './run-directory.ts';

const LOOK_EVERY_MS = 20;

/** How a process ended; both null where it was not our child, since then nobody tells us. */
export interface QemuExit {
  readonly exitCode: number | null;
  readonly signal: string | null;
}

export interface QemuChild {
  /** 0 where it could not be started. */
  readonly pid: number;
  /** Undefined while it runs. */
  readonly exit: QemuExit | undefined;
  /** Why it could not be started. */
  readonly spawnError: Error | undefined;
  /** Resolves when it has ended, for whatever reason. */
  readonly exited: Promise<void>;
  kill(): void;
  /** Lets our process end while it runs on. */
  leave(): void;
}

/** Starts one; what it says on standard error goes to the open file `stderr`. */
export function spawnQemu(program: string, args: readonly string[], stderr: number): QemuChild {
  const child = spawn(program, args, {
    stdio: ['ignore', 'ignore', stderr],
    // A group of its own: an interrupt typed at a terminal is for us, not for it.
    detached: true,
  });
  return new SpawnedChild(child);
}

class SpawnedChild implements QemuChild {
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  #exit: QemuExit | undefined;
  #spawnError: Error | undefined;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.exited = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#spawnError = error;
        resolve();
      });
      child.once('exit', (exitCode, signal) => {
        this.#exit = { exitCode, signal };
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get exit(): QemuExit | undefined {
    return this.#exit;
  }

  get spawnError(): Error | undefined {
    return this.#spawnError;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  leave(): void {
    this.#child.unref();
  }
}

/** One that runs already. */
export class FoundChild implements QemuChild {
  readonly spawnError = undefined;
  readonly #name: ProcessName;
  #exit: QemuExit | undefined;
  #exited: Promise<void> | undefined;

  constructor(name: ProcessName) {
    this.#name = name;
  }

  get pid(): number {
    return this.#name.pid;
  }

  get exit(): QemuExit | undefined {
    return this.#exit;
  }

  /** The system tells parents alone: we look, once somebody waits. */
  get exited(): Promise<void> {
    this.#exited ??= this.#untilGone();
    return this.#exited;
  }

  kill(): void {
    void endProcess(this.#name);
  }

  leave(): void {}

  async #untilGone(): Promise<void> {
    while (await isAlive(this.#name)) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    this.#exit = { exitCode: null, signal: null };
  }
}
