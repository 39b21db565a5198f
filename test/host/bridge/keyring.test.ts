// Tokens of the configuration, as people make them.

import { describe, expect, it } from 'vitest';
import { SYSTEM_CLOCK } from '../../../src/base/clock.ts';
import { Keyring } from '../../../src/host/bridge/keyring.ts';
import { digestOf, newSecret } from '../../../src/host/bridge/secret-table.ts';
import { SERVER_LIMITS } from '../../../src/host/bridge/server-limits.ts';

function bearerOf(token: string): string | undefined {
  const keyring = new Keyring({
    ownerToken: newSecret(),
    tokens: [{ name: 'backup', digest: digestOf(token), access: { '*': ['observe'] } }],
    limits: SERVER_LIMITS,
    clock: SYSTEM_CLOCK,
  });
  return keyring.bearer({ authorization: `Bearer ${token}` })?.id;
}

describe('a token of the configuration', () => {
  it.each([
    ['hexadecimal', '0123456789abcdef0123456789abcdef'],
    ['base64', 'q83vEjRW+A/Yq83vEjRWeA=='],
    ['base64url', 'q83vEjRW-A_Yq83vEjRWeA'],
    ['with dots and tildes', 'backup.2026~q83vEjRWeA'],
  ])('is taken: %s', (_, token) => {
    expect(bearerOf(token)).toBe('token:backup');
  });

  it.each(['short', 'a'.repeat(129), `${'a'.repeat(30)}\u00e9`, 'two words of some length'])(
    'is refused: %s',
    (token) => {
      expect(() => bearerOf(token)).toThrow(expect.objectContaining({ code: 'token-invalid' }));
    },
  );
});
