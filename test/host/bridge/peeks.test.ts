// Peeks over real sockets use memory again; what one was sent is never what the next one reads.

import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type BridgeClient, connectBridge } from '../../../src/bridge/bridge-client.ts';
import { fullGrant } from '../../../src/bridge/grant.ts';
import { serveSession } from '../../../src/bridge/session.ts';
import { openWebSocketChannel, type WebSocketConstructor } from '../../../src/bridge/web-socket-channel.ts';
import { bearerSocket } from '../../../src/host/bridge/bearer-socket.ts';
import { openFlatHost } from '../../bridge/bridge-host.ts';
import { openTestServer, type TestServer } from './test-server.ts';

const PAGES = 3072;
const MEMORY_BYTES = PAGES * 4096;

let server: TestServer;
let client: BridgeClient;
afterEach(async () => {
  client?.close();
  await server?.close();
});

/** As a program that uses `ws`, and as the CLI. */
const SOCKETS: readonly (readonly [string, (token: string) => WebSocketConstructor])[] = [
  [
    'ws',
    (token) =>
      class extends WebSocket {
        constructor(url: string, protocols: string[]) {
          super(url, protocols, { headers: { Authorization: `Bearer ${token}` } });
        }
      } as unknown as WebSocketConstructor,
  ],
  ['a straight connection', (token) => bearerSocket(token, () => {})],
];

/** By the platform's own comparison: a loop over so many bytes took half a minute. */
function isAll(bytes: Uint8Array, byte: number): boolean {
  return Buffer.compare(bytes, Buffer.alloc(bytes.length, byte)) === 0;
}

async function openPeeked(socketOf: (token: string) => WebSocketConstructor) {
  const host = await openFlatHost({ alpha: PAGES });
  server = await openTestServer({
    serve: (channel) => void serveSession(channel, host, fullGrant('me')),
  });
  const Socket = socketOf(server.token);
  client = await connectBridge(() =>
    openWebSocketChannel(`ws://127.0.0.1:${server.port}/bridge`, { WebSocket: Socket }),
  );
  return { machine: client.machine('alpha'), memory: host.flat.get('alpha')!.memory };
}

describe.each(SOCKETS)('a peek over %s', (_, socketOf) => {
  it('brings what memory holds now, again and again, also into memory of the caller', async () => {
    const { machine, memory } = await openPeeked(socketOf);
    const into = [new Uint8Array(MEMORY_BYTES)];
    for (let round = 1; round <= 6; round++) {
      memory.fill(round);
      const { bytes } = await machine.peek([{ address: 0, lengthBytes: MEMORY_BYTES }]);
      expect(isAll(bytes[0]!, round)).toBe(true);
      memory.fill(round + 100);
      const again = await machine.peek([{ address: 0, lengthBytes: MEMORY_BYTES }], { into });
      expect(again.bytes[0]).toBe(into[0]);
      expect(isAll(into[0]!, round + 100)).toBe(true);
    }
  });

  it('brings each its own bytes where several are under way', async () => {
    const { machine, memory } = await openPeeked(socketOf);
    const lengthBytes = MEMORY_BYTES / 2;
    for (let round = 0; round < 4; round++) {
      memory.fill(1 + round, 0, lengthBytes);
      memory.fill(101 + round, lengthBytes);
      // Each is longer than what a client takes unasked for, so that one waits while the next one is read.
      const peeked = await Promise.all(
        [0, lengthBytes, 0, lengthBytes].map((address) => machine.peek([{ address, lengthBytes }])),
      );
      for (const [index, { bytes }] of peeked.entries()) {
        const expected = (index % 2) * 100 + 1 + round;
        expect(isAll(bytes[0]!, expected)).toBe(true);
      }
    }
  });

  it('brings ranges of which some are longer than what memory is made for ahead', async () => {
    const { machine, memory } = await openPeeked(socketOf);
    for (let page = 0; page < PAGES; page++) memory.fill(1 + (page % 251), page * 4096, (page + 1) * 4096);
    const ranges = [
      { address: 4096, lengthBytes: MEMORY_BYTES / 2 },
      { address: 0, lengthBytes: MEMORY_BYTES },
      { address: 7 * 4096, lengthBytes: 4096 },
    ];
    const { bytes } = await machine.peek(ranges);
    const equal = ranges.map(({ address, lengthBytes }, index) =>
      Buffer.compare(bytes[index]!, memory.subarray(address, address + lengthBytes)),
    );
    expect(equal).toEqual([0, 0, 0]);
  });

  it('refuses memory of another length', async () => {
    const { machine } = await openPeeked(socketOf);
    const ranges = [{ address: 0, lengthBytes: 4096 }];
    for (const into of [[], [new Uint8Array(4095)], [new Uint8Array(4096), new Uint8Array(1)]]) {
      await expect(machine.peek(ranges, { into })).rejects.toMatchObject({ code: 'argument-invalid' });
    }
  });
});
