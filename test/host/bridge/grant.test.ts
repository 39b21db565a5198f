// Permissions: each role by each machine by each permission, as configuration and tickets have them.

import { describe, expect, it } from 'vitest';
import { grantOf, PERMISSIONS, type Permission } from '../../../src/bridge/grant.ts';
import { narrowGrant, OWNER_ACCESS, readAccess } from '../../../src/host/bridge/grant.ts';

const MACHINES = ['pulse', 'linux', null] as const;

const ROLES = {
  owner: OWNER_ACCESS,
  nobody: {},
  observer: readAccess({ '*': ['observe'] }, 'access'),
  student: readAccess({ pulse: ['observe', 'peek', 'save', 'restore'], '*': ['observe'] }, 'access'),
  forensic: readAccess({ linux: ['observe', 'peek', 'export'] }, 'access'),
};

/** One letter a permission that is allowed, a dot for each that is not, machine by machine. */
function pictureOf(allows: (machine: string | null, permission: Permission) => boolean): string {
  const rows = MACHINES.map((machine) =>
    PERMISSIONS.map((permission) => (allows(machine, permission) ? permission[0]!.toUpperCase() : '.')).join(
      '',
    ),
  );
  return rows.join(' ');
}

describe('a role', () => {
  it.each([
    ['owner', 'OPSRDEA OPSRDEA OPSRDEA'],
    ['nobody', '....... ....... .......'],
    ['observer', 'O...... O...... O......'],
    ['student', 'OPSR... O...... O......'],
    ['forensic', '....... OP...E. .......'],
  ] as const)('%s may %s', (role, picture) => {
    const grant = grantOf(role, ROLES[role]);
    expect(pictureOf((machine, permission) => grant.allows({ machine, permission, verb: 'any' }))).toBe(
      picture,
    );
  });

  it.each([
    ['owner', 'pulse', ['peek', 'save'], '.PS.... ....... .......'],
    ['student', 'pulse', PERMISSIONS, 'OPSR... ....... .......'],
    ['student', 'linux', PERMISSIONS, '....... O...... .......'],
    ['student', '*', ['observe', 'peek'], 'OP..... O...... O......'],
    ['nobody', '*', PERMISSIONS, '....... ....... .......'],
    ['owner', '*', [], '....... ....... .......'],
  ] as const)('%s with a ticket for %s and %j', (role, machine, permissions, picture) => {
    const grant = narrowGrant(grantOf(role, ROLES[role]), { machine, permissions });
    expect(grant.subject).toBe(role);
    expect(pictureOf((name, permission) => grant.allows({ machine: name, permission, verb: 'any' }))).toBe(
      picture,
    );
  });
});

describe('a table of access', () => {
  it.each([
    [[]],
    [null],
    ['*'],
    [{ pulse: 'peek' }],
    [{ pulse: ['all'] }],
    [{ '../pulse': ['peek'] }],
    [{ constructor: 7 }],
  ])('is refused: %j', (value) => {
    expect(() => readAccess(value, 'access')).toThrow(expect.objectContaining({ code: 'argument-invalid' }));
  });

  it('has no row that nobody wrote', () => {
    const grant = grantOf('x', readAccess({}, 'access'));
    for (const machine of ['constructor', '__proto__', 'toString']) {
      expect(grant.allows({ machine, permission: 'observe', verb: 'any' })).toBe(false);
    }
  });
});
