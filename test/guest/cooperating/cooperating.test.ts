// Emulators whose author helps, against the suite that all guests pass; and what happens when the author forgets a write.

import { describe, expect, it } from 'vitest';
import { VitrineError } from '../../../src/base/error.ts';
import {
  answerAtRest,
  type CooperatingOptions,
  cooperatingGuest,
  DoorbellDesk,
  SYSTEM_CLOCK,
} from '../../../src/guest/cooperating.ts';
import type { MachineDescription } from '../../../src/guest/guest.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { PageSet } from '../../../src/memory/page-set.ts';
import { guestConformance, type OpenSubject } from '../../../src/testing/guest-conformance.ts';
import { openScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { openTestEngine } from '../../support/engine.ts';
import { pages } from '../../support/pages.ts';

const MACHINE: MachineDescription = {
  kind: 'abacus',
  version: '1',
  architecture: 'none',
  config: { ramBytes: 2048 },
};

/** A machine of one register that walks over its memory and adds: the emulator of an afternoon. */
class Abacus {
  readonly ram = pages('A..B.0.c');
  readonly table = new Uint8Array(600);
  at = 3;
  /** Derived from `ram`, as decoded code is. */
  sum = this.#sumOf();
  beforeWrite = (_address: number): void => {};

  run(steps: number): string {
    for (let i = 0; i < steps; i++) {
      this.at = (Math.imul(this.at, 5) + 77) & 2047;
      const next = (this.ram[this.at]! + 13) & 0xff;
      this.beforeWrite(this.at);
      this.sum += next - this.ram[this.at]!;
      this.ram[this.at] = next;
    }
    return `${this.at} ${this.sum}`;
  }

  forget(): void {
    this.sum = this.#sumOf();
  }

  save(): Uint8Array {
    return Uint8Array.of(this.at & 0xff, this.at >> 8);
  }

  load(bytes: Uint8Array): void {
    if (bytes.length !== 2 || bytes[1]! > 7) throw new RangeError('no such place');
    this.at = bytes[0]! + bytes[1]! * 256;
  }

  #sumOf(): number {
    return this.ram.reduce((sum, byte) => sum + byte, 0);
  }
}

function openAbacus(options: Partial<CooperatingOptions> = {}) {
  const abacus = new Abacus();
  const cooperation = cooperatingGuest({
    machine: MACHINE,
    regions: [
      { name: 'ram', bytes: abacus.ram, guestAddress: 0x1000, pageBytes: 256 },
      { name: 'table', bytes: abacus.table, pageBytes: 256, kind: 'other' },
    ],
    devices: { place: { version: 1, save: () => abacus.save(), load: (bytes) => abacus.load(bytes) } },
    onWritten: () => abacus.forget(),
    ...options,
  });
  abacus.beforeWrite = (address) => cooperation.beforeWrite(0x1000 + address);
  return { abacus, ...cooperation };
}

function opener(options: Partial<CooperatingOptions>): OpenSubject {
  return async () => {
    const { abacus, guest } = openAbacus(options);
    const run = async () => {
      guest.requireRunning();
      return abacus.run(40);
    };
    return { guest, run };
  };
}

const api = { describe, expect, it };
guestConformance('cooperating guest, scanned', opener({}), api);
guestConformance('cooperating guest with marks', opener({ tracking: 'marks' }), api);
guestConformance('cooperating guest with a barrier', opener({ tracking: 'barrier' }), api);
guestConformance(
  'cooperating guest that stops later',
  opener({ tracking: 'marks', pause: () => Promise.resolve(), resume: () => {} }),
  api,
);

describe('a cooperating guest', () => {
  it('tells pages by guest address and by offset, and each once', () => {
    const { guest, markDirty, listenerOf } = openAbacus({ tracking: 'marks' });
    const told = () => {
      const take = guest.takeDirty();
      take.commit();
      return take.pages.map((pages) => [...(pages ?? [])]);
    };
    guest.pauseNow!();
    expect(told()).toEqual([
      [0, 1, 2, 3, 4, 5, 6, 7],
      [0, 1, 2],
    ]);
    expect(told()).toEqual([[], []]);
    markDirty(0x1000 + 255);
    expect(told()).toEqual([[0], []]);
    markDirty(0x1000 + 255, 2);
    expect(told()).toEqual([[0, 1], []]);
    listenerOf('table')(520, 80);
    listenerOf('table')(520, 1000);
    expect(told()).toEqual([[], [2]]);
    expect(() => markDirty(0x1000 + 2048)).toThrow(VitrineError);
    expect(() => markDirty(0xfff)).toThrow(VitrineError);
    expect(() => listenerOf('disk')).toThrow(VitrineError);
  });

  it('whose author forgets a write is scanned from then on, and the write is not lost', async () => {
    const { abacus, guest, beforeWrite } = openAbacus({ tracking: 'marks' });
    const tracker = await openScanTracker(guest, { openKernels: loadKernels });
    const capture = async () => {
      const { changed } = await tracker.capture({ full: false });
      await tracker.commit();
      return changed.map((words, region) => [...new PageSet(region === 0 ? 8 : 3, words)]);
    };
    await capture();
    beforeWrite(0x1000 + 300);
    abacus.ram[300]! ^= 1;
    abacus.ram[900]! ^= 1;
    expect(await capture()).toEqual([[1, 3], []]);
    abacus.ram[1900]! ^= 1;
    expect(await capture()).toEqual([[7], []]);
    await tracker.close();
  });

  it('is not at rest before the emulator has stopped', async () => {
    let stopped = () => {};
    const { guest } = openAbacus({
      pause: () =>
        new Promise((resolve) => {
          stopped = resolve;
        }),
    });
    expect(guest.pauseNow).toBe(undefined);
    const pausing = guest.pause();
    expect(() => guest.saveDevices()).toThrow(/wrong-state/);
    stopped();
    await pausing;
    expect(guest.saveDevices()).toHaveLength(1);
  });

  it('that cannot stop now goes on', async () => {
    let busy = true;
    const { guest } = openAbacus({
      pauseNow: () => {
        if (busy) throw new VitrineError('guest-not-quiescent');
      },
    });
    expect(() => guest.pauseNow!()).toThrow(/guest-not-quiescent/);
    expect(guest.rests).toBe(false);
    await expect(guest.pause()).rejects.toThrow(/guest-not-quiescent/);
    busy = false;
    await guest.pause();
    expect(guest.rests).toBe(true);
  });

  it('asks by itself, is answered between two instructions, and reads how it came back', async () => {
    const doorbell = new DoorbellDesk('a step to 0', 'the instruction', SYSTEM_CLOCK);
    const { abacus, guest } = openAbacus({ doorbell, tracking: 'marks' });
    const vitrine = await openTestEngine();
    const tracker = await openScanTracker(guest, { openKernels: loadKernels });
    const served = await vitrine.adopt('abacus', tracker).serveDoorbell({ maxPerSecond: 1e9 });
    const ring = async (letter: string) => {
      expect(doorbell.ring(letter.charCodeAt(0))).toBe(true);
      answerAtRest(guest, doorbell);
      await expect.poll(() => guest.rests).toBe(false);
      return String.fromCharCode(doorbell.word);
    };
    abacus.run(10);
    const [at, sum] = [abacus.at, abacus.sum];
    expect(await ring('s')).toBe('s');
    for (let round = 0; round < 3; round++) {
      abacus.run(25);
      expect([abacus.at, abacus.sum]).not.toEqual([at, sum]);
      expect(await ring('r')).toBe('r');
      expect([abacus.at, abacus.sum]).toEqual([at, sum]);
    }
    expect(await served.report()).toMatchObject({ saves: 1, resets: 3 });
    expect(guest.doorbell).toBe(doorbell);
    await vitrine.close();
    expect(doorbell.ring(0x73)).toBe(false);
  });

  it('that can be told to advance is verified by replay', async () => {
    const { abacus, guest } = openAbacus({
      advance(steps) {
        abacus.run(steps);
        return steps;
      },
    });
    const engine = await openTestEngine();
    const machine = engine.adopt('one', await openScanTracker(guest, { openKernels: () => loadKernels() }));
    abacus.run(40);
    const { snapshot } = await machine.save();
    expect(await engine.verifyByReplay(snapshot.id, guest, { steps: 250_000 })).toEqual({
      steps: 250_000,
      difference: null,
    });
  });

  it('puts back the parts that were loaded before one that refused', () => {
    const state = { a: 1, b: 2 };
    const part = (name: 'a' | 'b') => ({
      version: 1,
      save: () => Uint8Array.of(state[name]),
      load: (bytes: Uint8Array) => {
        if (bytes[0]! > 9) throw new RangeError(name);
        state[name] = bytes[0]!;
      },
    });
    const { guest } = openAbacus({ devices: { a: part('a'), b: part('b') } });
    guest.pauseNow!();
    const [a, b] = guest.saveDevices();
    const record = (of: typeof a, value: number) => ({ ...of!, bytes: Uint8Array.of(value) });
    guest.loadDevices([record(b, 6), record(a, 5)]);
    expect(state).toEqual({ a: 5, b: 6 });
    expect(() => guest.loadDevices([record(a, 7), record(b, 10)])).toThrow(/guest-state-invalid/);
    expect(state).toEqual({ a: 5, b: 6 });
  });
});
