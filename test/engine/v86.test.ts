// The engine with real PCs: Pulse is saved, restored again and again, forked, and goes on by its own arithmetic; disk
// writes cost what was written; a machine of another shape is refused by the name of what differs.

import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Machine } from '../../src/engine/machine.ts';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import { PULSE } from '../../src/guest/pulse/pulse.ts';
import type { V86Config, V86Guest } from '../../src/guest/v86/index.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { difference, openPulse, paused, runPulse, save, wordAt } from '../guest/v86/machines.ts';
import { openTestEngine } from '../support/engine.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const guests: V86Guest[] = [];
afterEach(async () => {
  for (const guest of guests.splice(0)) await guest.close();
});

async function adopt(
  engine: Vitrine,
  name: string,
  change: Partial<V86Config> = {},
): Promise<{ guest: V86Guest; machine: Machine }> {
  const guest = await openPulse(change);
  guests.push(guest);
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  return { guest, machine: engine.adopt(name, tracker) };
}

/** What Pulse tells of itself. */
async function words(guest: V86Guest) {
  return {
    loops: await wordAt(guest, PULSE.loops),
    random: await wordAt(guest, PULSE.random),
    health: await wordAt(guest, PULSE.health),
  };
}

describe('a PC under the engine', () => {
  it('comes back exactly, three times over, and goes on', async () => {
    const engine = await openTestEngine();
    const { guest, machine } = await adopt(engine, 'pulse');
    await runPulse(guest, 300);
    const { snapshot } = await machine.save();
    const saved = await save(guest);
    const goal = await runPulse(guest, 64);
    const after = await words(guest);
    for (let round = 0; round < 3; round++) {
      await machine.restore(snapshot.id);
      expect(difference(await save(guest), saved)).toBe('none');
      expect(await runPulse(guest, 64)).toBe(goal);
      // The guest verifies its memory itself; its generator tells that no page was skipped or done twice.
      const again = await words(guest);
      expect(again.health).toBe(1);
      if (again.loops === after.loops) expect(again.random).toBe(after.random);
    }
    const next = await machine.save();
    expect(next.pagesChanged).toBeLessThan(400);
  });

  it('is forked into a second PC that goes on by itself', async () => {
    const engine = await openTestEngine();
    const { guest, machine } = await adopt(engine, 'pulse');
    await runPulse(guest, 64);
    const { snapshot } = await machine.save();
    const saved = await save(guest);
    const fresh = await openPulse();
    guests.push(fresh);
    const tracker = await openScanTracker(fresh, { openKernels: () => loadKernels() });
    const fork = await engine.fork(snapshot.id, 'pulse-fork', tracker);
    expect(difference(await save(fresh), saved)).toBe('none');
    fresh.sendSerial(Uint8Array.from(Buffer.from('fork')));
    await runPulse(fresh, 64);
    await runPulse(guest, 16);
    expect(await wordAt(fresh, PULSE.keys)).toBe(4);
    expect(await wordAt(guest, PULSE.keys)).toBe(0);
    expect((await fork.save()).snapshot.parent).toBe(snapshot.id);
  });

  it('saves the written part of a disk, not the disk', async () => {
    const engine = await openTestEngine();
    const image = Uint8Array.from({ length: 8 << 20 }, (_, at) => (at * 2_654_435_761) >>> 24);
    const { guest, machine } = await adopt(engine, 'pulse', { disks: { hda: { bytes: image.slice() } } });
    const first = await machine.save();
    const disk = guest.regions.find(({ name }) => name === 'disk.hda')!.id;
    await paused(guest, () => {
      const bytes = new Uint8Array(512).fill(0xab);
      guest.writePages({ region: disk, offsetBytes: 5 << 20, lengthBytes: 512 }, bytes);
    });
    const second = await machine.save();
    expect(second.bytesWritten).toBeLessThan(40_000);
    const { regions } = await engine.diff(first.snapshot.id, second.snapshot.id);
    expect(regions.find(({ name }) => name === 'disk.hda')!.runs).toEqual([{ first: 1280, count: 1 }]);
    await machine.restore(first.snapshot.id);
    const [bytes] = (await machine.peek([{ region: 'disk.hda', offsetBytes: 5 << 20, lengthBytes: 512 }]))
      .bytes;
    expect(Buffer.compare(bytes!, image.subarray(5 << 20, (5 << 20) + 512))).toBe(0);
  });

  it('refuses a PC of another shape by the name of what differs', async () => {
    const engine = await openTestEngine();
    const { machine } = await adopt(engine, 'pulse');
    const { snapshot } = await machine.save();
    const others: [Partial<V86Config>, string][] = [
      [{ memoryBytes: 5 << 20 }, 'config.memoryBytes'],
      [{ vgaMemoryBytes: 2 << 20 }, 'config.vgaMemoryBytes'],
      [{ acpi: true }, 'config.acpi'],
      [{ disks: { fda: { bytes: new Uint8Array(1_474_560) } } }, 'config.disk.fda.bytes'],
    ];
    for (const [index, [change, field]] of others.entries()) {
      const other = await adopt(engine, `other-${index}`, change);
      await expect(other.machine.restore(snapshot.id)).rejects.toMatchObject({
        code: 'guest-mismatch',
        data: { field },
      });
      await runPulse(other.guest);
    }
  });
});
