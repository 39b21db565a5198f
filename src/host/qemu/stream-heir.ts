// Who reads a machine's state to its end where we are killed while it comes. A background snapshot that nobody reads fails, and QEMU 7.2 then
// leaves the memory that it watches as it is: the machine would hang at its next write.
//
//   QEMU ─▶ connection ─▶ us
//                └──────▶ a shell of a session of its own, which waits until we are gone, then reads for nobody
//
// It has the connection from a moment after that was made, not before. What is read from it does not wait, for our sake, so that `cat` ends
// where nothing has come yet, and is started again.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';

/** Of descriptor 4 nothing comes, and its end is ours. */
const WAIT_THEN_READ = `
read -r line <&4
end=$(($(date +%s) + 3600))
until cat <&3; do
  [ "$(date +%s)" -lt "$end" ] || exit
done`;

export class StreamHeir {
  readonly #shell: ChildProcess;

  /** From now on the connection outlives us. Where there is no shell it does not. */
  constructor(connection: Socket) {
    this.#shell = spawn('sh', ['-c', WAIT_THEN_READ], {
      stdio: ['ignore', 'ignore', 'ignore', connection, 'pipe'],
      detached: true,
    });
    this.#shell.on('error', () => {});
    this.#shell.unref();
    (this.#shell.stdio[4] as Socket | null)?.on('error', () => {}).unref();
  }

  /** What comes is nobody's any more but ours. May be called again. */
  close(): void {
    this.#shell.kill('SIGKILL');
  }
}
