// The picture of a real QEMU's machine through a bridge: seen, typed into, kept from who may not, and there again after a restore.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BridgeClient } from '../../src/bridge/bridge-client.ts';
import { type Grant, grantOf } from '../../src/bridge/grant.ts';
import { type Launcher, type LocalHost, openLocalHost } from '../../src/host/bridge/local-host.ts';
import { recipeOf } from '../../src/host/bridge/qemu-arguments.ts';
import { QemuHostMachine } from '../../src/host/bridge/qemu-host-machine.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { connectTo } from '../bridge/connect.ts';
import { RfbViewer } from '../support/rfb-viewer.ts';
import { QEMUS } from './pulse-machine.ts';

const ESCAPE = 0xff1b;
/** More pixels than a cursor has, and less than the firmware's menu. */
const CURSOR = 100;
/** The firmware waits for a key before it looks for disks, as long as it can: a minute. */
const MENU = ['-vga', 'std', '-boot', 'menu=on,splash-time=65535'];

describe.each(QEMUS)('the screen of a machine of QEMU $version', ({ program }) => {
  let folder = '';
  let host: LocalHost;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-screen-'));
    const launcher: Launcher = {
      known: async () => [],
      async run({ name }, engine) {
        const { profile, disks } = recipeOf(MENU, { memoryBytes: 64 << 20 });
        const recipe = { profile: { ...profile, program }, disks };
        const machine = new QemuHostMachine({ name, recipe, engine, diskFolder: folder });
        await machine.start();
        return machine;
      },
      fork: () => Promise.reject(new Error('not here')),
    };
    host = await openLocalHost({ store: openMemoryStore(), version: 'test', launcher });
    await host.run!({ name: 'desk' }, {});
  });

  afterEach(async () => {
    await host?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function viewerOf(client: BridgeClient, input: boolean) {
    const viewer: RfbViewer = new RfbViewer((bytes) => screen.write(bytes));
    const screen = client.machine('desk').openScreen({ onBytes: viewer.take, input });
    screen.closed.then(
      () => viewer.end(new Error('the screen is over')),
      (error) => viewer.end(error),
    );
    await viewer.open();
    return { viewer, screen };
  }

  const connect = async (grant?: Grant) => (await connectTo(host, grant && { grant })).client;

  const lit = async (viewer: RfbViewer): Promise<number> => (await viewer.look()).litCount;

  /** Looks until the firmware has written what it writes before it waits. Its cursor blinks still. */
  async function still(viewer: RfbViewer): Promise<number> {
    let before = await lit(viewer);
    for (let equal = 0; equal < 10; ) {
      const now = await lit(viewer);
      equal = now > 1_000 && Math.abs(now - before) < CURSOR ? equal + 1 : 0;
      before = now;
    }
    return before;
  }

  it('is seen and typed into, by several, and is there again after a restore', async () => {
    const client = await connect();
    expect(await client.machines()).toMatchObject([{ name: 'desk', hasScreen: true }]);
    const { viewer, screen } = await viewerOf(client, true);
    const waiting = await still(viewer);
    const { snapshot } = await client.machine('desk').save();
    // Another one does not end the first, though it asks to be alone.
    const second = await viewerOf(await connect(), false);
    viewer.key(ESCAPE);
    await expect.poll(() => lit(viewer), { timeout: 60_000 }).toBeGreaterThan(waiting + 5 * CURSOR);
    await client.machine('desk').restore(snapshot.id);
    await expect.poll(() => lit(second.viewer), { timeout: 60_000 }).toBeLessThan(waiting + CURSOR);
    screen.close();
    await expect(screen.closed).rejects.toMatchObject({ code: 'aborted' });
  });

  it('takes no key from who may look alone, whatever his viewer sends', async () => {
    const client = await connect(grantOf('looker', { desk: ['observe', 'peek'] }));
    const typing = client.machine('desk').openScreen({ onBytes: () => {}, input: true });
    await expect(typing.closed).rejects.toMatchObject({ code: 'permission-denied' });
    const { viewer: looker } = await viewerOf(client, false);
    const { viewer: owner } = await viewerOf(await connect(), true);
    const waiting = await still(looker);
    for (let count = 0; count < 5; count++) looker.key(ESCAPE);
    // Its pictures come after the keys: had they gone on, the machine would have them by now.
    for (let count = 0; count < 20; count++) {
      expect(await lit(looker)).toBeLessThan(waiting + CURSOR);
    }
    owner.key(ESCAPE);
    await expect.poll(() => lit(looker), { timeout: 60_000 }).toBeGreaterThan(waiting + 5 * CURSOR);
    const stranger = await connect(grantOf('stranger', { desk: ['observe'] }));
    const refused = stranger.machine('desk').openScreen({ onBytes: () => {}, input: false });
    await expect(refused.closed).rejects.toMatchObject({ code: 'permission-denied' });
  });

  it('ends with its machine', async () => {
    const client = await connect();
    const { viewer, screen } = await viewerOf(client, true);
    await viewer.look();
    await client.machine('desk').stop();
    await screen.closed;
    const again = client.machine('desk').openScreen({ onBytes: () => {} });
    await expect(again.closed).rejects.toMatchObject({ code: 'wrong-state' });
  });
});
