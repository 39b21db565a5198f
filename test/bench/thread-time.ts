// How long the main thread of this process had a processor: what work cost, whoever else wanted the machine, and without the
// time in which a guest slept. Linux tells it to the nanosecond; elsewhere it is the time of the whole process, compilers' threads
// among it.

import { readFileSync } from 'node:fs';

/** Milliseconds so far; differences count. */
export function threadMs(): number {
  const schedule = readSchedule();
  if (schedule !== undefined) return schedule / 1e6;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Whose time it is, for a note. */
export function threadTimeIs(): string {
  return readSchedule() === undefined
    ? 'processor time of the process'
    : 'processor time of the guest’s thread';
}

/** Nanoseconds; undefined where the system does not tell. The first of three numbers: on a processor, waiting for one, slices. */
function readSchedule(): number | undefined {
  try {
    const nanoseconds = Number(
      readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0],
    );
    // A kernel that does not count says 0.
    return nanoseconds > 0 ? nanoseconds : undefined;
  } catch {
    return undefined;
  }
}
