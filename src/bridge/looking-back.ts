// Which machines `rewind-seek` holds somewhere in their past. What such a machine did before is kept already; one that was held otherwise
// has a present that nobody kept. Remembered of this process alone: the next one keeps a present too many, which costs nothing.

import type { HostMachine } from './host.ts';

const LOOKING_BACK = new WeakSet<HostMachine>();

/** Whether it was brought to a point and did not go on since. */
export function isLookingBack(machine: HostMachine): boolean {
  return machine.state === 'paused' && LOOKING_BACK.has(machine);
}

/** It is held at a point. */
export function lookBack(machine: HostMachine): void {
  LOOKING_BACK.add(machine);
}

/** It goes on from where it is. */
export function lookAhead(machine: HostMachine): void {
  LOOKING_BACK.delete(machine);
}
