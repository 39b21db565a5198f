// Child processes of the test runner: output goes straight to the terminal, nothing is read from it, and whatever
// hangs is ended with all it started.

import { spawn } from 'node:child_process';

/**
 * Runs a command to its end; resolves to how it went and never rejects.
 *
 * `note` is set when there is more to say than the exit code does: it could not start, or ran out of time.
 */
export function run(command, args, { cwd, env, timeoutMs }) {
  return new Promise((resolve) => {
    // A group of its own, so that ending it ends browsers and workers below it too.
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    });
    let note;
    const timer = setTimeout(() => {
      note = `ended after ${timeoutMs / 60_000} minutes without a result`;
      end(child.pid);
    }, timeoutMs);
    const interrupted = () => end(child.pid);
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
    const settle = (exitCode) => {
      clearTimeout(timer);
      process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
      resolve({ ok: exitCode === 0 && note === undefined, note });
    };
    child.once('error', (error) => {
      note = `could not start: ${error.message}`;
      settle(1);
    });
    child.once('exit', settle);
  });
}

function end(pid) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended by itself in the meantime.
  }
}
