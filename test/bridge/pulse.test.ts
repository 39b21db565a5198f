// A real PC behind a bridge: Pulse on v86, a store of files, a client that loses its connection while it saves. Pulse
// verifies its own memory and counts its steps, so that a page lost or done twice would show.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { MIB } from '../../src/base/limits.ts';
import type { BridgeHost, HostMachine } from '../../src/bridge/host.ts';
import { Jobs } from '../../src/bridge/jobs.ts';
import { sync } from '../../src/bridge/sync.ts';
import { PULSE } from '../../src/guest/pulse/pulse.ts';
import type { V86Guest } from '../../src/guest/v86/index.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { openPulse, runPulse, wordAt } from '../guest/v86/machines.ts';
import { openTestEngine } from '../support/engine.ts';
import { connectTo } from './connect.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function pulseHost(): Promise<{ host: BridgeHost; guest: V86Guest }> {
  const directory = await mkdtemp(join(tmpdir(), 'vitrine-bridge-'));
  closing.push(() => rm(directory, { recursive: true, force: true }));
  const store = await openFsStore(directory);
  const engine = await openTestEngine(store);
  closing.push(() => engine.close());
  const guest = await openPulse();
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  const machine: HostMachine = { name: 'pulse', state: 'running', machine: engine.adopt('pulse', tracker) };
  const host: BridgeHost = {
    software: { name: 'test-host', version: '1' },
    engine,
    store,
    jobs: new Jobs(),
    machines: () => [machine],
    machine: (name) => (name === 'pulse' ? machine : undefined),
  };
  return { host, guest };
}

describe('Pulse behind a bridge', () => {
  it('is saved over a lost connection, restored, and goes on by its own arithmetic', async () => {
    const { host, guest } = await pulseHost();
    await runPulse(guest, 300);
    const connection = await connectTo(host);
    const pulse = connection.client.machine('pulse');
    await guest.start();
    const saving = pulse.save({ label: 'over a lost connection', live: {} });
    await expect.poll(async () => host.jobs.list().length, { interval: 1 }).toBe(1);
    connection.clientEnd.cut();
    const { snapshot } = await saving;
    expect(await connection.client.log()).toHaveLength(1);
    expect(connection.connections).toBe(2);
    const [loops] = await connection.client.peek(snapshot.id, [{ address: PULSE.loops, lengthBytes: 4 }]);
    const savedLoops = new DataView(loops!.buffer).getUint32(0, true);

    await runPulse(guest, 300);
    await pulse.restore(snapshot.id);
    const { bytes } = await pulse.peek([{ address: PULSE.loops, lengthBytes: 4 }]);
    const now = new DataView(bytes[0]!.buffer).getUint32(0, true);
    expect(now).toBeGreaterThanOrEqual(savedLoops);
    await runPulse(guest, 300);
    expect(await wordAt(guest, PULSE.health)).toBe(1);
    expect(await connection.client.verify(snapshot.id)).toMatchObject({ damagedCount: 0 });
  });

  it('is peeked at one instant while it writes, all of its memory at once', async () => {
    const { host, guest } = await pulseHost();
    await runPulse(guest, 64);
    const { client } = await connectTo(host);
    const pulse = client.machine('pulse');
    await guest.pause();
    const still = (await pulse.peek([{ address: 0, lengthBytes: 4 * MIB }])).bytes[0]!;
    expect(Buffer.compare(still, guest.view(0)!.subarray(0, 4 * MIB))).toBe(0);
    await guest.resume();
    await guest.start();
    const counters = new Set<string>();
    while (counters.size < 3) {
      const { bytes, source } = await pulse.peek([
        { address: PULSE.loops, lengthBytes: 4 },
        { address: 0, lengthBytes: 4 * MIB },
        { address: PULSE.loops, lengthBytes: 4 },
      ]);
      expect(source).toBe('copy');
      const [before, all, after] = bytes;
      const inside = all!.subarray(PULSE.loops, PULSE.loops + 4);
      expect([toHex(inside), toHex(after!)]).toEqual([toHex(before!), toHex(before!)]);
      counters.add(toHex(inside));
    }
  });

  it('goes on in another host, from a snapshot that was synced', async () => {
    const { host: here, guest } = await pulseHost();
    await runPulse(guest, 300);
    const source = await connectTo(here);
    const { snapshot } = await source.client.machine('pulse').save();
    const { host: there, guest: twin } = await pulseHost();
    const target = await connectTo(there);
    const report = await sync(source.client, target.client, snapshot.id);
    expect(report.objectsSent).toBeGreaterThan(0);
    await target.client.machine('pulse').restore(snapshot.id);
    await runPulse(twin, 64);
    expect(await wordAt(twin, PULSE.health)).toBe(1);
  });
});
