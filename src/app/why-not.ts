// Why something cannot be done with the host machine on show, in words: a control that is greyed out says so where the pointer rests.

import type { Permission } from '../bridge/grant.ts';
import type { HostModel } from './host-model.ts';

/** What something needs. */
export interface Needs {
  readonly permission: Permission;
  /** Whether the machine has to be up: running, or held. */
  readonly isUp: boolean;
}

/** The reason; null where it can be done now. */
export function whyNot({ state, machine, job }: HostModel, { permission, isUp }: Needs): string | null {
  if (machine === null) return 'There is no machine.';
  if (state.value.kind !== 'open') return 'The host is not reached.';
  if (!machine.permissions.includes(permission)) return `That needs the permission ${permission}.`;
  if (isUp && machine.state !== 'running' && machine.state !== 'paused') {
    return `${machine.name} is ${machine.state}.`;
  }
  return job.value === null ? null : `${job.value.title} is under way.`;
}

/** Greys a control out for a reason, or takes that back; `title` is what it says otherwise. */
export function allow(control: HTMLButtonElement | HTMLInputElement, why: string | null, title = ''): void {
  control.disabled = why !== null;
  control.title = why ?? title;
}
