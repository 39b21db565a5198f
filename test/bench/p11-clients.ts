// Clients of one bridge over real sockets: what one answer costs when many ask at once.

import { type BridgeClient, connectBridge } from '../../src/bridge/bridge-client.ts';
import { fullGrant } from '../../src/bridge/grant.ts';
import { serveSession } from '../../src/bridge/session.ts';
import { openWebSocketChannel, type WebSocketConstructor } from '../../src/bridge/web-socket-channel.ts';
import { bearerSocket } from '../../src/host/bridge/bearer-socket.ts';
import { openFlatHost } from '../bridge/bridge-host.ts';
import { openTestServer } from '../host/bridge/test-server.ts';
import { median } from './row.ts';

/** 16 MiB of memory. */
const PAGES = 4096;
const ROUNDS = 7;
/** Answers a round, of all clients together. */
const ANSWERS = 960;

/** Milliseconds for a peek of a page, where so many clients take turns with one, each asking as soon as it was answered. */
export async function peeksOf(many: number): Promise<{ readonly many: number; readonly one: number }> {
  const host = await openFlatHost({ alpha: PAGES });
  const server = await openTestServer({
    limits: { connectionsPerSession: many },
    serve: (channel) => void serveSession(channel, host, fullGrant('me')),
  });
  const clients: BridgeClient[] = [];
  for (let index = 0; index < many; index++) {
    const WebSocket: WebSocketConstructor = bearerSocket(server.token, () => {});
    clients.push(
      await connectBridge(() => openWebSocketChannel(`ws://127.0.0.1:${server.port}/bridge`, { WebSocket })),
    );
  }
  const round = async (count: number): Promise<number> => {
    const startMs = performance.now();
    await Promise.all(
      clients.slice(0, count).map(async (client, index) => {
        for (let asked = 0; asked < ANSWERS / count; asked++) {
          const address = ((index * 131 + asked) % PAGES) * 4096;
          await client.machine('alpha').peek([{ address, lengthBytes: 4096 }]);
        }
      }),
    );
    return (performance.now() - startMs) / ANSWERS;
  };
  const times = { many: [] as number[], one: [] as number[] };
  for (let index = 0; index <= ROUNDS; index++) {
    const [ofMany, ofOne] = [await round(many), await round(1)];
    if (index === 0) continue;
    times.many.push(ofMany);
    times.one.push(ofOne);
  }
  for (const client of clients) client.close();
  await server.close();
  return { many: median(times.many), one: median(times.one) };
}
