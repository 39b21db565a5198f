// A real bridge over a real socket, with machines of flat guests, and `vitrine` as its owner runs it beside it.

import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Grant } from '../../../src/bridge/grant.ts';
import { serveSession } from '../../../src/bridge/session.ts';
import { type TokenFile, writeTokenFile } from '../../../src/host/bridge/token-file.ts';
import { openFsStore } from '../../../src/store/fs-store.ts';
import { type FlatHost, openFlatHost } from '../../bridge/bridge-host.ts';
import { openTestServer, type TestServer } from '../bridge/test-server.ts';
import { type Ran, runCommand } from './shell.ts';

export interface ServedFlat {
  readonly folder: string;
  readonly host: FlatHost;
  readonly server: TestServer;
  readonly environment: NodeJS.ProcessEnv;
  readonly token: TokenFile;
  /** Who the bridge takes its visitors for; whoever they are when undefined. */
  grant: Grant | undefined;
  vitrine(...args: string[]): Promise<Ran>;
  /** A command's JSON; the command must succeed. */
  // biome-ignore lint/suspicious/noExplicitAny: what a test reads of it.
  json(...args: string[]): Promise<any>;
  close(): Promise<void>;
}

/** `machines` are their pages, by name. */
export async function openServedFlat(machines: Readonly<Record<string, number>>): Promise<ServedFlat> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-verbs-'));
  const host = await openFlatHost(machines, { store: await openFsStore(join(folder, 'store')) });
  const server = await openTestServer({
    serve: (channel, visitor) => void serveSession(channel, host, served.grant ?? visitor.grant),
  });
  const environment = { VITRINE_RUN_DIR: join(folder, 'run'), VITRINE_STORE: join(folder, 'nowhere') };
  const token: TokenFile = {
    pid: process.pid,
    port: server.port,
    origin: server.origin,
    socket: null,
    token: server.token,
    version: '1',
    store: await realpath(join(folder, 'store')),
  };
  await writeTokenFile(environment.VITRINE_RUN_DIR, token);
  const vitrine = (...args: string[]): Promise<Ran> => runCommand(args, environment);
  const served: ServedFlat = {
    ...{ folder, host, server, environment, token, grant: undefined, vitrine },
    json: async (...args) => {
      const { code, out, error } = await vitrine(...args, '--json');
      expect({ args, code, error }).toEqual({ args, code: 0, error: '' });
      return JSON.parse(out);
    },
    close: async () => {
      await server.close();
      await host.engine.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return served;
}
