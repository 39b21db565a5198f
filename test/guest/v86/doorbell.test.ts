// The doorbell of a v86 machine: held at one instruction, compiled or not, with interrupts coming as they like; brought back
// there; and hostile guests that do nothing but ring.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { DOORBELL_WORDS } from '../../../src/guest/doorbell.ts';
import { V86_DOORBELL_PORT, type V86Guest } from '../../../src/guest/v86/index.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { openScanTracker, type ScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { adopted } from './adopted.ts';
import { difference, openProgram, paused, restore, type Saved, save, until, untilUp } from './machines.ts';
import { counted, openRinging, RINGING } from './ringing.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const ROUNDS_A_RING = 4096;
const ANY_RATE = { maxPerSecond: 1e9 };
const code = (name: string) => expect.objectContaining({ code: name });

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function open(compile = true): Promise<V86Guest> {
  const guest = await openRinging(compile);
  opened.push(guest);
  return guest;
}

async function track(guest: V86Guest): Promise<ScanTracker> {
  return openScanTracker(guest, { openKernels: () => loadKernels() });
}

/** Sets the word that the program rings with. The guest is paused. */
function setWord(guest: V86Guest, word: number): void {
  guest.writePages({ region: 0, offsetBytes: RINGING.word, lengthBytes: 1 }, Uint8Array.of(word));
}

describe.each([
  ['compiled', true],
  ['interpreted', false],
])('a machine whose code is %s', (_, compile) => {
  it('rests right behind the instruction that rang, and goes on from there', async () => {
    const guest = await open(compile);
    const wrong: string[] = [];
    let rings = 0;
    guest.doorbell.serve(() => {
      const rounds = counted(guest, 'rounds');
      const behind = counted(guest, 'behind');
      // Nothing behind the ring was done, everything before it was, and none of it twice.
      if (rounds !== (rings + 1) * ROUNDS_A_RING || behind !== rings) {
        wrong.push(`ring ${rings}: ${rounds} rounds, ${behind} times behind`);
      }
      rings++;
      return 'first';
    }, ANY_RATE);
    await guest.start();
    await until(() => rings >= 1000, 'rings');
    await paused(guest, () => {
      expect(wrong).toEqual([]);
      // Interrupts came, and came between the rings too.
      expect(counted(guest, 'ticks')).toBeGreaterThan(100);
      expect(counted(guest, 'restored') + counted(guest, 'refused')).toBe(0);
      expect(counted(guest, 'first')).toBeGreaterThanOrEqual(999);
    });
  });

  it('is the same machine each time it is restored there, also in another instance', async () => {
    const guest = await open(compile);
    let saved: Promise<Saved> | undefined;
    guest.doorbell.serve(
      () => {
        saved = save(guest);
        return saved.then(() => 'first' as const);
      },
      { maxPerSecond: 1e-6 },
    );
    await guest.start();
    await until(() => saved !== undefined, 'the ring');
    const point = await saved!;
    const other = await open(compile);
    for (const one of [guest, other, guest]) {
      await restore(one, point);
      // A pause at the instant finds it unchanged: no instruction was run.
      expect(difference(point, await save(one))).toBe('none');
      expect(await paused(one, () => counted(one, 'behind'))).toBe(0);
      await one.start();
      await until(() => paused(one, () => counted(one, 'behind') > 0), 'the instruction behind the ring');
      await paused(one, () => {
        expect(counted(one, 'restored')).toBe(1);
        expect(counted(one, 'first')).toBe(0);
      });
      await one.stop();
    }
  });

  it('chooses its own checkpoint, and goes back to it again and again', async () => {
    const guest = await open(compile);
    const tracker = await track(guest);
    await tracker.doorbell.serve({ serve: 'checkpoint', ...ANY_RATE });
    await guest.start();
    await until(async () => (await tracker.doorbell.report()).saves >= 3, 'checkpoints');
    // From here on it asks to be put back: at the next ring, and at every ring after that.
    await paused(guest, () => setWord(guest, DOORBELL_WORDS.reset));
    // The word was written after the checkpoint: the reset took it back, so that it saves again.
    await until(() => paused(guest, () => counted(guest, 'restored') > 0), 'the answer to the reset');
    const { saves, resets, refused } = await tracker.doorbell.report();
    expect({ resets, refused }).toEqual({ resets: 1, refused: 0 });
    await paused(guest, () => {
      // One first return of all was taken back: that of the ring whose checkpoint was returned to.
      expect(counted(guest, 'first')).toBeGreaterThanOrEqual(saves - 2);
      // The reset's own answer is one more; and it may rest between a ring and the answer that it counts.
      expect(counted(guest, 'behind') - counted(guest, 'first')).toBeOneOf([1, 2]);
    });
  });
});

describe('a machine that asks to be put back at every ring', () => {
  it('is the checkpoint each time: one run is all runs', async () => {
    const guest = await open();
    const tracker = await track(guest);
    await paused(guest, () => {});
    let before: Saved | undefined;
    const wrong: string[] = [];
    let resets = 0;
    let checkpointed = false;
    guest.doorbell.serve(async (request) => {
      if (!checkpointed) {
        setWord(guest, DOORBELL_WORDS.reset);
        await tracker.checkpoint();
        before = await save(guest);
        checkpointed = true;
        return 'first';
      }
      if (request !== 'reset') wrong.push(request);
      tracker.resetNow();
      resets++;
      if (resets % 50 === 1) {
        const different = difference(before!, await save(guest));
        if (different !== 'none') wrong.push(different);
      }
      return 'restored';
    }, ANY_RATE);
    await guest.start();
    await until(() => resets >= 200, 'resets');
    expect(wrong).toEqual([]);
    await paused(guest, () => {
      // It never came to its second round of the loop but always through the first: what it counts was taken back.
      expect(counted(guest, 'rounds')).toBeLessThanOrEqual(2 * ROUNDS_A_RING);
      expect(counted(guest, 'first')).toBe(0);
      expect(counted(guest, 'restored')).toBeLessThanOrEqual(1);
    });
  });
});

describe('a hostile machine', () => {
  /** `out` in an endless loop: some millions a second. */
  const flooding = async () => {
    const [low, high] = [V86_DOORBELL_PORT & 0xff, V86_DOORBELL_PORT >> 8];
    const guest = await openProgram(
      // mov al, 's'; mov dx, port; inc dword [0x1000] with ds = 0; out dx, al; jmp to inc
      Uint8Array.of(
        0x31,
        0xc0,
        0x8e,
        0xd8,
        0xb0,
        0x73,
        0xba,
        low,
        high,
        0x66,
        0xff,
        0x06,
        0,
        0x10,
        0xee,
        0xeb,
        0xf8,
      ),
    );
    opened.push(guest);
    return guest;
  };

  it('that only rings is served at the rate, and its host goes on with its work', async () => {
    const guest = await flooding();
    let served = 0;
    guest.doorbell.serve(
      () => {
        served++;
        return 'first';
      },
      { maxPerSecond: 1e-3 },
    );
    await guest.start();
    // The host's own tasks get their turns, and a pause ends, however much it rings.
    await until(() => guest.doorbell.counts.rings > 20_000, 'rings');
    const { rings, refused } = await paused(guest, () => guest.doorbell.counts);
    expect(served).toBe(1);
    expect(refused).toBe(rings - 1);
    expect(await paused(guest, () => counted(guest, 'rounds'))).toBe(rings);
  });

  it('that only rings is ignored when nobody serves', async () => {
    const guest = await flooding();
    await guest.start();
    await until(() => paused(guest, () => counted(guest, 'rounds') > 20_000), 'rounds');
    expect(guest.doorbell.counts.rings).toBe(0);
  });

  it('that writes a string to the port rings once, and is whole', async () => {
    const [low, high] = [V86_DOORBELL_PORT & 0xff, V86_DOORBELL_PORT >> 8];
    // Eight times 's' at 0x2000, then rep outsb, then inc dword [0x1000], then hlt.
    const guest = await openProgram(
      Uint8Array.from([
        ...[0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0xfc, 0xb9, 8, 0, 0xbf, 0, 0x20, 0xb0, 0x73, 0xf3, 0xaa],
        ...[0xb9, 8, 0, 0xbe, 0, 0x20, 0xba, low, high, 0xf3, 0x6e, 0x66, 0xff, 0x06, 0, 0x10, 0xf4],
      ]),
    );
    opened.push(guest);
    const requests: string[] = [];
    guest.doorbell.serve((request) => {
      requests.push(request);
      return 'first';
    }, ANY_RATE);
    await guest.start();
    await until(() => paused(guest, () => counted(guest, 'rounds') > 0), 'the end');
    expect(requests).toEqual(['save']);
    expect(guest.doorbell.counts).toEqual({ rings: 8, saves: 1, resets: 0, refused: 7 });
  });
});

describe('the doorbell of a v86 machine', () => {
  it('keeps the machine at rest until it is answered, whoever pauses and resumes meanwhile', async () => {
    const guest = await open();
    let settle: (answer: 'first') => void = () => {};
    guest.doorbell.serve(() => new Promise((resolve) => (settle = resolve)), { maxPerSecond: 1e-6 });
    await guest.start();
    await until(() => guest.doorbell.counts.rings === 1, 'the ring');
    const looks = [];
    for (let i = 0; i < 5; i++) looks.push(await paused(guest, () => counted(guest, 'behind')));
    expect(looks).toEqual([0, 0, 0, 0, 0]);
    settle('first');
    await until(() => paused(guest, () => counted(guest, 'behind') > 0), 'the instruction behind the ring');
  });

  it('is gone with the guest, in the middle of an answer too', async () => {
    const guest = await open();
    let settle: (answer: 'first') => void = () => {};
    guest.doorbell.serve(() => new Promise((resolve) => (settle = resolve)), ANY_RATE);
    await guest.start();
    await until(() => guest.doorbell.counts.rings === 1, 'the ring');
    await guest.close();
    settle('first');
    await expect(guest.pause()).rejects.toEqual(code('guest-closed'));
  });

  it('lets a machine at rest be paused at once, and refuses to where one runs', async () => {
    const { guest, emulator } = await adopted();
    opened.push(guest);
    guest.pauseNow();
    expect(guest.view(0)).toBeDefined();
    guest.resumeNow();
    let inSlice: unknown;
    // v86 tells of a serial byte while the machine's `out` is on the stack.
    emulator.add_listener('serial0-output-byte', () => {
      try {
        guest.pauseNow();
      } catch (error) {
        inSlice ??= error;
      }
    });
    await guest.start();
    await until(() => inSlice !== undefined, 'a serial byte');
    expect(inSlice).toEqual(code('guest-not-quiescent'));
    // The refused pause left nothing behind: it runs on.
    await untilUp(guest);
  });
});
