// What a session may do: permissions by machine, denied unless granted. They stand apart as libvirt's do: whoever may look
// at a list of machines may not read their memory, and whoever may read memory may not take a snapshot away as a file.

/** Every permission, weakest first; none includes another. */
export const PERMISSIONS = ['observe', 'peek', 'save', 'restore', 'delete', 'export', 'admin'] as const;

export type Permission = (typeof PERMISSIONS)[number];

/** What a verb asks for before it runs. */
export interface PermissionRequest {
  readonly permission: Permission;
  readonly verb: string;
  /** Null for what concerns the whole host: its store, a new machine. */
  readonly machine: string | null;
}

/** What one session may do. It is asked at every use, so that it may be taken back. */
export interface Grant {
  /** Who it is, in logs and as the owner of jobs. */
  readonly subject: string;
  allows(request: PermissionRequest): boolean;
}

/** Permissions by machine name; `*` stands for every machine and for the host. */
export type GrantTable = Readonly<Record<string, readonly Permission[]>>;

/** A grant from a table: what a machine's own row or `*` has. */
export function grantOf(subject: string, table: GrantTable): Grant {
  const rows = new Map(Object.entries(table));
  return {
    subject,
    allows: ({ permission, machine }) =>
      rows.get('*')?.includes(permission) === true ||
      (machine !== null && machine !== '*' && rows.get(machine)?.includes(permission) === true),
  };
}

/** All of it: an operator at the host itself. */
export function fullGrant(subject: string): Grant {
  return grantOf(subject, { '*': PERMISSIONS });
}
