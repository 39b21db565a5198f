// Clients of a test's host over channels in memory, which a test can cut, hold and cut into pieces.

import { type BridgeClient, type ConnectOptions, connectBridge } from '../../src/bridge/bridge-client.ts';
import { fullGrant, type Grant } from '../../src/bridge/grant.ts';
import type { BridgeHost } from '../../src/bridge/host.ts';
import { type Session, type SessionOptions, serveSession } from '../../src/bridge/session.ts';
import { channelPair, type MemoryChannel, type PairOptions } from '../support/channel-pair.ts';

export interface TestConnection {
  readonly client: BridgeClient;
  /** The newest channel's ends and session. */
  readonly clientEnd: MemoryChannel;
  readonly hostEnd: MemoryChannel;
  readonly session: Session;
  /** How often it was connected. */
  readonly connections: number;
}

export interface TestConnectOptions {
  readonly grant?: Grant;
  readonly session?: SessionOptions;
  readonly pair?: PairOptions;
  readonly client?: ConnectOptions;
  /** Called before each connection; what it throws is why there is none. */
  readonly onConnect?: (attempt: number) => void;
}

export async function connectTo(host: BridgeHost, options: TestConnectOptions = {}): Promise<TestConnection> {
  let clientEnd: MemoryChannel;
  let hostEnd: MemoryChannel;
  let session: Session;
  let connections = 0;
  const open = async () => {
    options.onConnect?.(connections);
    [clientEnd, hostEnd] = channelPair(options.pair);
    session = serveSession(hostEnd, host, options.grant ?? fullGrant('tester'), options.session);
    connections++;
    return clientEnd;
  };
  const client = await connectBridge(open, { wait: async () => {}, random: () => 0, ...options.client });
  return {
    client,
    get clientEnd() {
      return clientEnd;
    },
    get hostEnd() {
      return hostEnd;
    },
    get session() {
      return session;
    },
    get connections() {
      return connections;
    },
  };
}
