// A toy computer that knows nothing of snapshots, as a guest: the suite that all guests pass, and the proof by running again.

import { describe, expect, it } from 'vitest';
import { objectGraphGuest } from '../../../src/guest/object-graph/object-graph-guest.ts';
import { guestConformance, type OpenSubject } from '../../../src/testing/guest-conformance.ts';
import { verifyRoundTrip } from '../../../src/testing/verify-round-trip.ts';
import { ToyComputer } from '../../support/toy-computer.ts';

const STEPS = 400;

function openToy(tracking: 'none' | 'marks' | 'barrier' = 'marks', computer = new ToyComputer()) {
  const cooperation = objectGraphGuest({
    root: computer,
    machine: { kind: 'toy', version: '1', architecture: 'toy', config: {} },
    regions: [{ name: 'ram', bytes: computer.ram, guestAddress: 0, pageBytes: 256 }],
    wiring: ['onStore'],
    tracking,
    auditScans: 0,
  });
  computer.onStore = cooperation.listenerOf('ram');
  const run = (steps = STEPS) => {
    cooperation.guest.requireRunning();
    return computer.run(steps);
  };
  return { ...cooperation, computer, run };
}

function opener(tracking: 'none' | 'marks' | 'barrier'): OpenSubject {
  return async () => {
    const { guest, run } = openToy(tracking);
    return { guest, run: async () => run() };
  };
}

guestConformance('toy computer by its objects', opener('marks'), { describe, expect, it });
guestConformance('toy computer by its objects, with a barrier', opener('barrier'), {
  describe,
  expect,
  it,
});
guestConformance('toy computer by its objects, scanned', opener('none'), { describe, expect, it });

describe('verifyRoundTrip', () => {
  it('proves the toy at many points, in itself and in another one', async () => {
    const { guest, run, nameDifference } = openToy();
    for (let point = 0; point < 20; point++) {
      const other = openToy();
      run(point * 37);
      other.run(point * 5);
      const options = {
        run: () => run(),
        other: { guest: other.guest, run: () => other.run() },
        nameDifference,
      };
      expect(await verifyRoundTrip(guest, options)).toEqual({ ok: true });
    }
  });

  it('names what a closure keeps to itself', async () => {
    const computer = new ToyComputer();
    let hidden = 0;
    const { ring } = computer.timer;
    computer.timer.ring = (index) => {
      hidden++;
      computer.cpu.registers[2]! += hidden;
      ring.call(computer.timer, index);
    };
    const { guest, run, nameDifference } = openToy('marks', computer);
    run(1000);
    expect(await verifyRoundTrip(guest, { run: () => run(1000), nameDifference })).toMatchObject({
      ok: false,
      stage: 'run',
      difference: expect.stringMatching(/^cpu\.registers\.buffer at byte \d+: \d+ and \d+$/),
    });
  });

  it('names a time of the host', async () => {
    const computer = new ToyComputer();
    let now = 1_700_000_000_000;
    const clock = Object.assign(computer.clock, { startedAt: 0 });
    const tick = clock.tick.bind(clock);
    clock.tick = () => {
      clock.startedAt = now++;
      tick();
    };
    const { guest, run, nameDifference } = openToy('marks', computer);
    expect(await verifyRoundTrip(guest, { run: () => run(10), nameDifference })).toEqual({
      ok: false,
      stage: 'run',
      difference: 'clock.startedAt: 1700000000009 and 1700000000019',
    });
  });

  it('names what only another machine lacks', async () => {
    // Told apart by a variable that nobody sees, and that does not change.
    const openWith = (secret: number) => {
      const computer = new ToyComputer();
      const print = computer.printer.print.bind(computer.printer);
      computer.printer.print = (byte) => print(byte ^ secret);
      return openToy('marks', computer);
    };
    const { guest, run, nameDifference } = openWith(0);
    const other = openWith(1);
    run(500);
    const report = await verifyRoundTrip(guest, {
      run: () => run(500),
      other: { guest: other.guest, run: () => other.run(500) },
      nameDifference,
    });
    expect(report).toMatchObject({
      ok: false,
      stage: 'other',
      difference: expect.stringMatching(/^printer\./),
    });
  });

  it('tells of a guest whose restore leaves something out', async () => {
    const { guest, run, computer } = openToy();
    const load = guest.loadDevices.bind(guest);
    guest.loadDevices = (records) => {
      load(records);
      computer.cpu.carry = !computer.cpu.carry;
    };
    expect(await verifyRoundTrip(guest, { run: () => run() })).toMatchObject({
      ok: false,
      stage: 'restore',
      difference: expect.stringMatching(/^record graph at \d+/),
    });
  });
});

describe('objectGraphGuest', () => {
  it('refuses regions that leave a part of their buffer to nobody', () => {
    const heap = new Uint8Array(8192);
    const parts = [heap.subarray(0, 4096), heap.subarray(4096)] as const;
    const open = (regions: readonly { readonly name: string; readonly bytes: Uint8Array }[]) =>
      objectGraphGuest({
        root: { ram: parts[0], video: parts[1] },
        machine: { kind: 'toy', version: '1', architecture: 'toy', config: {} },
        regions,
      });
    const [ram, video] = [
      { name: 'ram', bytes: parts[0] },
      { name: 'video', bytes: parts[1] },
    ];
    expect(() => open([ram])).toThrow(/argument-invalid.*4096/);
    expect(open([ram, video]).graph.save().length).toBeLessThan(100);
    expect(open([]).graph.save().length).toBeGreaterThan(8192);
  });
});
