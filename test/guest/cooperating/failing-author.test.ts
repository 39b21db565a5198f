// An author's functions that throw, each in the midst of the engine's work: the error has a code and names the function, and
// the emulator is as it was.

import { describe, expect, it } from 'vitest';
import { type CooperatingOptions, cooperatingGuest } from '../../../src/guest/cooperating.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { openScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { openTestEngine } from '../../support/engine.ts';

/** Two registers of which `load` sets the first before it may throw, and 16 pages of 256 bytes. */
async function openFailing(options: Partial<CooperatingOptions> = {}) {
  const ram = new Uint8Array(4096);
  const cpu = { a: 1, b: 2 };
  const faults = new Set<string>();
  const may = (name: string): void => {
    if (faults.has(name)) throw new TypeError(`a bug in ${name}`);
  };
  const { guest } = cooperatingGuest({
    machine: { kind: 'failing', version: '1', architecture: 'none', config: {} },
    regions: [{ name: 'ram', bytes: ram, pageBytes: 256 }],
    devices: {
      cpu: {
        version: 1,
        save() {
          may('save');
          return Uint8Array.of(cpu.a, cpu.b);
        },
        load(bytes) {
          cpu.a = bytes[0]!;
          // Its own bytes it takes: what it cannot do is to go on to the other ones.
          if (faults.has('load') && bytes[1] !== 9) throw new TypeError('a bug in load');
          cpu.b = bytes[1]!;
        },
      },
    },
    pauseNow: () => may('pauseNow'),
    resume: () => may('resume'),
    onWritten: () => may('onWritten'),
    ...options,
  });
  const tracker = await openScanTracker(guest, { openKernels: loadKernels });
  const engine = await openTestEngine();
  return { ram, cpu, faults, guest, tracker, machine: engine.adopt('one', tracker) };
}

type Failing = Awaited<ReturnType<typeof openFailing>>;

/** Every byte and register of it. */
const stateOf = ({ ram, cpu }: Failing) => ({ ...cpu, ram: Uint8Array.from(ram) });

/** One that has written its pages and registers behind a snapshot and a checkpoint. */
async function openWritten(options: Partial<CooperatingOptions> = {}) {
  const failing = await openFailing(options);
  const { snapshot } = await failing.machine.save();
  await failing.machine.checkpoint();
  Object.assign(failing.cpu, { a: 8, b: 9 });
  failing.ram.fill(0x5a);
  return { ...failing, snapshot };
}

describe('the functions of an author', () => {
  for (const name of ['save', 'pauseNow', 'resume']) {
    it(`${name}: what it throws in a save has a code, and the next save has everything`, async () => {
      const failing = await openWritten();
      const before = stateOf(failing);
      failing.faults.add(name);
      const expected = { function: name === 'save' ? 'devices.cpu.save' : name };
      await expect(failing.machine.save()).rejects.toMatchObject({
        code: 'guest-failed',
        data: expected,
        cause: new TypeError(`a bug in ${name}`),
      });
      failing.faults.clear();
      expect(failing.guest.rests).toBe(false);
      expect(stateOf(failing)).toEqual(before);
      const { snapshot } = await failing.machine.save();
      failing.ram.fill(1);
      failing.cpu.a = 0;
      await failing.machine.restore(snapshot.id);
      expect(stateOf(failing)).toEqual(before);
    });
  }

  it('pause: one that throws at once leaves the guest running, as one that rejects', async () => {
    for (const pause of [
      () => {
        throw new TypeError('at once');
      },
      () => Promise.reject(new TypeError('later')),
    ]) {
      const { guest } = cooperatingGuest({
        machine: { kind: 'failing', version: '1', architecture: 'none', config: {} },
        regions: [{ name: 'ram', bytes: new Uint8Array(4096) }],
        devices: {},
        pause,
      });
      await expect(guest.pause()).rejects.toMatchObject({
        code: 'guest-failed',
        data: { function: 'pause' },
      });
      expect(guest.rests).toBe(false);
    }
  });

  it('load: one that throws half way leaves no half of it, in a restore and in a reset', async () => {
    const failing = await openWritten();
    const before = stateOf(failing);
    failing.faults.add('load');
    const refused = { code: 'guest-state-invalid', data: { record: 'cpu' }, cause: expect.any(TypeError) };
    await expect(failing.machine.restore(failing.snapshot.id)).rejects.toMatchObject(refused);
    expect(stateOf(failing)).toEqual(before);
    await expect(failing.machine.reset()).rejects.toMatchObject(refused);
    expect(stateOf(failing)).toEqual(before);
    expect(() => failing.tracker.resetNow()).toThrow(/guest-state-invalid/);
    expect(stateOf(failing)).toEqual(before);
    failing.faults.clear();
    await failing.machine.reset();
    expect(stateOf(failing)).toEqual({ a: 1, b: 2, ram: new Uint8Array(4096) });
  });

  it('onWritten: one that throws each time leaves memory as it was, in a restore and in a reset', async () => {
    const failing = await openWritten();
    // Every other page, so that they are put back one by one.
    for (let at = 0; at < failing.ram.length; at += 512) failing.ram.fill(0, at, at + 256);
    const before = stateOf(failing);
    failing.faults.add('onWritten');
    const failed = { code: 'guest-failed', data: { function: 'onWritten' } };
    await expect(failing.machine.restore(failing.snapshot.id)).rejects.toMatchObject(failed);
    expect(stateOf(failing)).toEqual(before);
    await expect(failing.machine.reset()).rejects.toMatchObject(failed);
    expect(stateOf(failing)).toEqual(before);
    failing.faults.clear();
    await failing.machine.restore(failing.snapshot.id);
    expect(stateOf(failing)).toEqual({ a: 1, b: 2, ram: new Uint8Array(4096) });
  });

  it('onWritten: one that throws at the last page has all pages put back', async () => {
    let writes = 0;
    const failing = await openWritten({
      onWritten() {
        if (++writes >= 3) throw new TypeError('a bug');
      },
    });
    for (let at = 0; at < failing.ram.length; at += 512) failing.ram.fill(0, at, at + 256);
    const before = stateOf(failing);
    await expect(failing.machine.restore(failing.snapshot.id)).rejects.toMatchObject({
      code: 'guest-failed',
    });
    expect(stateOf(failing)).toEqual(before);
    writes = 0;
    expect(() => failing.tracker.resetNow()).toThrow(/guest-failed/);
    expect(stateOf(failing)).toEqual(before);
  });
});
