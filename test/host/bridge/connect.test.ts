// A program's way in: `connectBridge` with a token and the package `ws`, and what it is told where that cannot be.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type ConnectOptions, connectBridge } from '../../../src/bridge/bridge-client.ts';
import { fullGrant } from '../../../src/bridge/grant.ts';
import { serveSession } from '../../../src/bridge/session.ts';
import { openFlatHost } from '../../bridge/bridge-host.ts';
import { openTestServer, type TestServer } from './test-server.ts';

let server: TestServer;
let address: string;
beforeEach(async () => {
  const host = await openFlatHost({ alpha: 4 });
  server = await openTestServer({ serve: (channel) => void serveSession(channel, host, fullGrant('me')) });
  address = `ws://127.0.0.1:${server.port}/bridge`;
});
afterEach(() => server.close());

it('connects with a token of the host', async () => {
  const bridge = await connectBridge(address, { WebSocket, token: server.token });
  expect((await bridge.machines()).map(({ name }) => name)).toEqual(['alpha']);
  bridge.close();
});

describe('is told', () => {
  it.each<[string, string, (known: { address: string; token: string }) => [string, object]]>([
    ['an address that is none', 'argument-invalid', () => ['not an address', {}]],
    ['an address of another kind', 'argument-invalid', ({ address }) => [address.replace('ws', 'http'), {}]],
    ['an address that no URL can be', 'argument-invalid', () => ['ws://', {}]],
    ['a ticket that is no function', 'argument-invalid', ({ address }) => [address, { ticket: 'abc' }]],
    [
      'a ticket of other characters',
      'argument-invalid',
      ({ address }) => [address, { ticket: async () => 'a b' }],
    ],
    ['a token of other characters', 'argument-invalid', ({ address }) => [address, { token: 'a\r\nb' }]],
    [
      'a token of another bridge',
      'connection-lost',
      ({ address, token }) => [address, { token: `${token}x` }],
    ],
    ['that nobody listens', 'connection-lost', () => ['ws://127.0.0.1:1/bridge', {}]],
  ])('%s: %s', async (_, code, make) => {
    const [target, options] = make({ address, token: server.token });
    // Safe: a program in JavaScript may hand over anything.
    const connecting = connectBridge(target, { WebSocket, ...options } as ConnectOptions);
    await expect(connecting).rejects.toMatchObject({ code });
  });
});
