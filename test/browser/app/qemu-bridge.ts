// A bridge with a QEMU machine and the page it serves, for a test file; and the next bridge on the same store.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';
import type { RunRequest } from '../../../src/bridge/host.ts';
import { type LocalBridge, openLocalBridge } from '../../../src/host/bridge/local-bridge.ts';
import { QemuLauncher } from '../../../src/host/bridge/qemu-launcher.ts';
import { configOf, type ServeSettings } from '../../../src/host/bridge/serve-config.ts';
import { type Harness, openHarness } from '../harness.ts';
import { buildPage } from './page-server.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export interface QemuBridge {
  /** The one that runs at the moment, once the tests run. */
  readonly bridge: LocalBridge;
  readonly harness: Harness;
  /** What a command finds the bridge by. */
  readonly environment: NodeJS.ProcessEnv;
  /** Ends the bridge, its machines go on, and starts the next one. */
  restart(): Promise<void>;
}

/** Call it at the top of a `describe`: it is there for the tests beside it. What a machine is made of may lie in `folder`. */
export function useQemuBridge(
  machine: RunRequest | ((folder: string) => Promise<RunRequest>),
  settings: ServeSettings = {},
): QemuBridge {
  let folder = '';
  let bridge: LocalBridge | undefined;
  let harness: Harness | undefined;

  const open = (): Promise<LocalBridge> => {
    const page = join(ROOT, 'dist/page');
    const config = configOf({ listen: '127.0.0.1:0', page, keepMachines: true, ...settings });
    return openLocalBridge(config, {
      store: join(folder, 'store'),
      version: '0.0.0-test',
      log: () => {},
      launcher: new QemuLauncher({
        book: join(folder, 'machines.json'),
        store: join(folder, 'store'),
        diskFolder: folder,
        runRoot: join(folder, 'machines'),
        profiles: config.profiles,
      }),
      runFolder: join(folder, 'run'),
    });
  };
  beforeAll(async () => {
    await buildPage();
    folder = await mkdtemp(join(tmpdir(), 'vitrine-page-'));
    bridge = await open();
    await bridge.host.run?.(typeof machine === 'function' ? await machine(folder) : machine, {});
    harness = await openHarness();
  });
  afterAll(async () => {
    await harness?.close();
    for (const one of bridge?.host.machines() ?? []) await one.stop?.();
    await bridge?.close();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    // Safe: nothing of it is used before the tests run.
    get bridge() {
      return bridge!;
    },
    get harness() {
      return harness!;
    },
    get environment() {
      return { VITRINE_RUN_DIR: join(folder, 'run') };
    },
    async restart() {
      await bridge!.close();
      bridge = await open();
    },
  };
}
