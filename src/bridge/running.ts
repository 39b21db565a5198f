// What a host machine must be for a verb: running, and able to do it; and what two verbs do alike.

import { VitrineError } from '../base/error.ts';
import type { Machine } from '../engine/machine.ts';
import type { HostMachine } from './host.ts';
import { lookAhead } from './looking-back.ts';

/** Its machine under the engine. Throws `wrong-state` while it does not run, and while it runs ahead of its memory. */
export function running(machine: HostMachine): Machine {
  if (machine.machine !== null) return machine.machine;
  const { name, state } = machine;
  const actual = state === 'running' ? 'its memory is on its way' : state;
  throw new VitrineError('wrong-state', { machine: name, actual, required: 'running' });
}

/** A way of a host or machine to do something, if it has one. Throws `unsupported`. */
export function provided<Way>(way: Way | undefined, what: string): Way {
  if (way === undefined) throw new VitrineError('unsupported', { missing: what });
  return way;
}

/** Lets a machine that is held run on. Throws `wrong-state` while it does not run at all, `unsupported`. */
export async function goOn(machine: HostMachine): Promise<void> {
  running(machine);
  await provided(machine.resume?.bind(machine), 'resume')();
  lookAhead(machine);
}
