// Permissions as configuration and tickets have them. `src/bridge/grant.ts` says what they are and how a table is asked.

import { VitrineError } from '../../base/error.ts';
import { type Grant, type GrantTable, PERMISSIONS, type Permission } from '../../bridge/grant.ts';
import { MACHINE_NAME_PATTERN } from '../../engine/snapshot.ts';

/** Any machine, as a row of a table and as the scope of a ticket. */
export const EVERY_MACHINE = '*';

/** All of everything: whoever can read the token file runs the machines anyway. */
export const OWNER_ACCESS: GrantTable = { [EVERY_MACHINE]: PERMISSIONS };

/** What of a grant remains for one machine, or `*`, and these permissions alone; never more than the grant has. */
export function narrowGrant(
  grant: Grant,
  only: { readonly machine: string; readonly permissions: readonly Permission[] },
): Grant {
  const kept = new Set(only.permissions);
  return {
    subject: grant.subject,
    allows: (request) =>
      (only.machine === EVERY_MACHINE || only.machine === request.machine) &&
      kept.has(request.permission) &&
      grant.allows(request),
  };
}

/** An access table from a configuration file. Throws `argument-invalid` with the place. */
export function readAccess(value: unknown, place: string): GrantTable {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new VitrineError('argument-invalid', {
      name: place,
      wants: 'machine names with lists of permissions',
    });
  }
  return Object.fromEntries(
    Object.entries(value).map(([machine, list]) => {
      if (machine !== EVERY_MACHINE && !MACHINE_NAME_PATTERN.test(machine)) {
        throw new VitrineError('argument-invalid', { name: `${place}.${machine}`, wants: 'a name or "*"' });
      }
      return [machine, readPermissions(list, `${place}.${machine}`)];
    }),
  );
}

/** A list of permissions. Throws `argument-invalid` with the place and what there is. */
export function readPermissions(value: unknown, place: string): readonly Permission[] {
  if (!Array.isArray(value) || !value.every(isPermission)) {
    throw new VitrineError('argument-invalid', { name: place, known: PERMISSIONS });
  }
  return value;
}

function isPermission(value: unknown): value is Permission {
  return (PERMISSIONS as readonly unknown[]).includes(value);
}
