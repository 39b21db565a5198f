// What a command works on: a bridge that runs, or a store at hand. Either is a `BridgeClient`, so that a command is written
// once.

import { resolve } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import { type BridgeClient, connectBridge } from '../../bridge/bridge-client.ts';
import { fullGrant } from '../../bridge/grant.ts';
import { serveSession } from '../../bridge/session.ts';
import { openFsStore } from '../../store/fs-store.ts';
import type { Store } from '../../store/store.ts';
import { bearerSocket, socketAddress } from '../bridge/bearer-socket.ts';
import { localChannelPair } from '../bridge/local-channel.ts';
import { type LocalHostOptions, openLocalHost } from '../bridge/local-host.ts';
import { requireAtRest } from '../bridge/store-holder.ts';
import { runFolder, runningBridges, type TokenFile } from '../bridge/token-file.ts';
import { tidyDisks } from '../qemu/tidy-disks.ts';
import { defaultStore } from './default-store.ts';
import { findBridge } from './find-bridge.ts';
import { findPackage } from './package-place.ts';
import { openStoreAt, type StorePlace, storePlace } from './store-at.ts';

export interface ClientOptions {
  /** A port or an origin, where several bridges run. */
  readonly bridge?: string | undefined;
  /** The folder of a store, or a bundle. */
  readonly store?: string | undefined;
  /** Whether a store alone is enough. */
  readonly needs: 'machines' | 'snapshots';
  readonly environment: NodeJS.ProcessEnv;
}

export interface OpenedClient {
  readonly client: BridgeClient;
  /** For people. */
  readonly place: string;
  close(): Promise<void>;
}

/**
 * The bridge that is named, or that has the store that is named, or the only one that runs; else, where snapshots are
 * enough, the store itself.
 *
 * Throws `connection-lost` where nobody answers, `not-found` without such a store, `name-ambiguous` with several bridges, `format-*` for a
 * file that is no bundle, and `unsupported` where machines are needed of one.
 */
export async function openClient(options: ClientOptions): Promise<OpenedClient> {
  const { bridge, store, needs, environment } = options;
  if (store !== undefined) {
    const place = await storePlace(store);
    if (place.kind === 'bundle') return openBundle(place, needs);
    const folder = place.path;
    const running = await runningBridges(runFolder(environment));
    const holder = running.find((one) => one.store === folder);
    if (holder !== undefined) return openBridge(holder);
    if (needs === 'machines') {
      throw new VitrineError('connection-lost', { store: folder, start: 'vitrine serve --store' });
    }
    return openStore(store, folder, environment);
  }
  const found = await findBridge(environment, bridge).catch((error: unknown) => error);
  if (!(found instanceof Error)) return openBridge(found as TokenFile);
  const isNone = found instanceof VitrineError && found.code === 'connection-lost';
  if (bridge !== undefined || needs === 'machines' || !isNone) throw found;
  const path = defaultStore(environment);
  const place = await storePlace(path).catch(() => undefined);
  if (place?.kind !== 'folder') throw found;
  return openStore(path, place.path, environment);
}

/** A bridge of this host that does not answer within some seconds is gone; a person waits. */
const PATIENCE = { firstMs: 100, mostMs: 1_000, maxAttempts: 6 };

async function openBridge({ origin, socket, token }: TokenFile): Promise<OpenedClient> {
  // The socket of this host needs no certificate, and no way through a proxy.
  const address = socket === null ? `${origin.replace(/^http/, 'ws')}/bridge` : socketAddress(socket);
  const software = `vitrine ${findPackage().version}`;
  let refusal: VitrineError | undefined;
  const Socket = bearerSocket(token, (reason) => {
    refusal = reason;
  });
  const client = await connectBridge(address, { WebSocket: Socket, software, backOff: PATIENCE }).catch(
    (error: unknown) => {
      throw refusal ?? error;
    },
  );
  return { client, place: origin, close: async () => client.close() };
}

/** The store without a bridge: the same sessions, in this process. Its disks lie where `serve` has them. */
async function openStore(
  path: string,
  folder: string,
  environment: NodeJS.ProcessEnv,
): Promise<OpenedClient> {
  return clientOf(await openFsStore(folder), folder, {
    mayCollect: () => requireAtRest(folder, environment.VITRINE_MACHINES_DIR),
    collectDisks: (engine) => tidyDisks(engine, `${resolve(path)}.disks`),
  });
}

/** What a store that is written to takes beside. */
type StoreCare = Pick<LocalHostOptions, 'mayCollect' | 'collectDisks'>;

/** A bundle, which is looked into where it lies. */
async function openBundle(place: StorePlace, needs: ClientOptions['needs']): Promise<OpenedClient> {
  if (needs === 'machines') {
    throw new VitrineError('unsupported', { missing: 'machines', kind: 'bundle', file: place.path });
  }
  return clientOf(await openStoreAt(place), place.path);
}

/** A session in this process over a store, which is closed with it. */
async function clientOf(store: Store, place: string, more: StoreCare = {}): Promise<OpenedClient> {
  const { version } = findPackage();
  const host = await openLocalHost({ ...more, store, version }).catch(async (error: unknown) => {
    await store.close();
    throw error;
  });
  const client = await connectBridge(async () => {
    const [near, far] = localChannelPair();
    serveSession(far, host, fullGrant('owner'));
    return near;
  });
  const close = async (): Promise<void> => {
    client.close();
    await host.close();
  };
  return { client, place, close };
}
