// Checkpoints: a reset is exact, saves and restores in between are not confused by it, and one that fails changes nothing.

import { describe, expect, it } from 'vitest';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { DeviceRecord, Guest } from '../../src/guest/guest.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import type { Span } from '../../src/memory/span.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { pages, picture } from '../support/pages.ts';

const TRACKING = ['none', 'marks'] as const;
const code = (name: string) => expect.objectContaining({ code: name });

/** A guest that refuses calls on demand: `failing` counts down, and the call that takes it to 0 throws. */
class FragileGuest extends FlatGuest {
  failing: { writes?: number; loads?: number; reads?: number } = {};
  /** Answers with promises, as a guest far away does. */
  isFar = false;

  override view(region: number): Uint8Array | undefined {
    return this.isFar ? undefined : super.view(region);
  }

  override readPages(span: Span, into: Uint8Array): undefined {
    return this.#answer('reads', () => super.readPages(span, into));
  }

  override writePages(span: Span, from: Uint8Array): undefined {
    return this.#answer('writes', () => super.writePages(span, from));
  }

  override loadDevices(records: readonly DeviceRecord[]): undefined {
    return this.#answer('loads', () => super.loadDevices(records));
  }

  #answer(call: keyof FragileGuest['failing'], work: () => void): undefined {
    const left = this.failing[call];
    const refuse = left === 1;
    if (left !== undefined) this.failing[call] = left - 1;
    const act = (): undefined => {
      if (refuse) throw new RangeError(`no more ${call}`);
      work();
    };
    if (!this.isFar) return act();
    const late = Promise.resolve().then(act);
    // Safe: the port allows a promise here, and only the flat guest's own type does not.
    return late as unknown as undefined;
  }
}

async function open(memory: Uint8Array, tracking: 'none' | 'marks') {
  const guest = new FragileGuest({ regions: [{ name: 'ram', bytes: memory, pageBytes: 256 }], tracking });
  return { guest, tracker: await openScanTracker(guest, { openKernels: () => loadKernels() }) };
}

async function captured(tracker: ScanTracker, pageCount: number): Promise<string> {
  const { changed } = await tracker.capture({ full: false });
  const all = Uint32Array.from({ length: pageCount }, (_, page) => page);
  const { bytes } = await tracker.readPages(0, all);
  return `${[...new PageSet(pageCount, changed[0]!)].join()} of ${picture(bytes)}`;
}

async function instantOf(guest: Guest, memory: Uint8Array): Promise<string> {
  await guest.pause();
  const [record] = await guest.saveDevices();
  await guest.resume();
  return `${picture(memory)} ${record!.bytes.join()}`;
}

describe.each(TRACKING)('a guest that marks %s', (tracking) => {
  it('goes back as often as one likes, both ways', async () => {
    const memory = pages('ab.d');
    const { guest, tracker } = await open(memory, tracking);
    guest.run(5);
    await tracker.checkpoint();
    const point = await instantOf(guest, memory);
    const onward = guest.run(50);
    for (let round = 0; round < 4; round++) {
      const report = round % 2 === 0 ? tracker.resetNow() : await tracker.resetToCheckpoint();
      expect(report.pagesWritten).toBeGreaterThan(0);
      expect(await instantOf(guest, memory)).toBe(point);
      expect(guest.run(50)).toBe(onward);
    }
  });

  it('writes only what differs, and looks only at what was marked since', async () => {
    const { guest, tracker } = await open(pages('abcdefgh'), tracking);
    await tracker.checkpoint();
    const looked = (marked: number) => (tracking === 'marks' ? marked : 8);
    guest.write(0, 256, pages('X'));
    guest.write(0, 512, pages('c'));
    expect(tracker.resetNow()).toEqual({ pagesWritten: 1, pagesCompared: looked(2) });
    expect(tracker.resetNow()).toEqual({ pagesWritten: 0, pagesCompared: looked(0) });
    guest.write(0, 1024, pages('YZ'));
    expect(await tracker.resetToCheckpoint()).toEqual({ pagesWritten: 2, pagesCompared: looked(2) });
  });

  it('a save after a reset has what changed since the save before, and no less', async () => {
    const memory = pages('....');
    const { guest, tracker } = await open(memory, tracking);
    guest.write(0, 0, pages('abcd'));
    await tracker.checkpoint();
    expect(await captured(tracker, 4)).toBe('0,1,2,3 of abcd');
    await tracker.commit();
    guest.write(0, 0, pages('XX'));
    expect(await captured(tracker, 4)).toBe('0,1 of XXcd');
    await tracker.commit();
    guest.write(0, 768, pages('Y'));
    tracker.resetNow();
    expect(picture(memory)).toBe('abcd');
    // Against XXcd: the reset's own writes count. Page 3 went there and back and is no change.
    expect(await captured(tracker, 4)).toBe('0,1 of abcd');
    await tracker.commit();
    guest.write(0, 512, pages('Z'));
    tracker.resetNow();
    expect(await captured(tracker, 4)).toBe(' of abcd');
  });

  it('puts a page back that a save moved on from, and leaves it where it is back already', async () => {
    const memory = pages('abcd');
    const { guest, tracker } = await open(memory, tracking);
    await tracker.checkpoint();
    guest.write(0, 256, pages('X'));
    await tracker.capture({ full: false });
    await tracker.commit();
    expect(tracker.resetNow().pagesWritten).toBe(1);
    guest.write(0, 0, pages('Y'));
    expect(tracker.resetNow().pagesWritten).toBe(1);
    expect(picture(memory)).toBe('abcd');
    guest.write(0, 0, pages('YZZY'));
    expect(tracker.resetNow().pagesWritten).toBe(4);
    expect(picture(memory)).toBe('abcd');
  });

  it('goes back over a restore, one that was given up, and one that failed', async () => {
    const memory = pages('....');
    const { guest, tracker } = await open(memory, tracking);
    guest.write(0, 0, pages('abcd'));
    const { devices } = await tracker.capture({ full: false });
    await tracker.commit();
    guest.write(0, 0, pages('K'));
    await tracker.checkpoint();
    await tracker.beginRestore({ full: false });
    await tracker.stagePages(0, Uint32Array.of(0, 1), pages('PQ'));
    await tracker.stageZeros(0, Uint32Array.of(3));
    await tracker.applyRestore(devices);
    expect(picture(memory)).toBe('PQc.');
    expect((await tracker.resetToCheckpoint()).pagesWritten).toBe(3);
    expect(picture(memory)).toBe('Kbcd');
    expect(await captured(tracker, 4)).toBe('0,1,3 of Kbcd');
    await tracker.commit();

    for (const end of ['abandoned', 'failed']) {
      guest.write(0, 512, pages('M'));
      await tracker.beginRestore({ full: false });
      await tracker.stagePages(0, Uint32Array.of(1), pages('R'));
      if (end === 'abandoned') await tracker.abandonRestore();
      else await expect(tracker.applyRestore([])).rejects.toEqual(code('guest-state-invalid'));
      expect(picture(memory)).toBe('KbMd');
      expect(tracker.resetNow().pagesWritten).toBe(1);
      expect(picture(memory)).toBe('Kbcd');
      expect(await captured(tracker, 4)).toMatch(/ of Kbcd$/);
      await tracker.commit();
    }
  });

  it('may be moved, and moves only when that succeeded', async () => {
    const memory = pages('ab');
    const { guest, tracker } = await open(memory, tracking);
    await tracker.checkpoint();
    guest.write(0, 0, pages('X'));
    await tracker.checkpoint();
    guest.write(0, 0, pages('YY'));
    tracker.resetNow();
    expect(picture(memory)).toBe('Xb');
    guest.write(0, 0, pages('Z'));
    guest.saveDevices = () => {
      throw new RangeError('no devices');
    };
    await expect(tracker.checkpoint()).rejects.toThrow('no devices');
    tracker.resetNow();
    expect(picture(memory)).toBe('Xb');
  });

  it('goes back while a captured instant is being read, which stays as it is', async () => {
    const memory = pages('abcd');
    const { guest, tracker } = await open(memory, tracking);
    await tracker.checkpoint();
    guest.write(0, 0, pages('X'));
    expect(await captured(tracker, 4)).toBe('0,1,2,3 of Xbcd');
    guest.write(0, 256, pages('Y'));
    tracker.resetNow();
    expect(picture(memory)).toBe('abcd');
    expect(picture((await tracker.readPages(0, Uint32Array.of(0, 1))).bytes)).toBe('Xb');
    await expect(tracker.resetToCheckpoint()).rejects.toEqual(code('wrong-state'));
    await tracker.commit();
    expect(await captured(tracker, 4)).toBe('0 of abcd');
  });

  it.each([{ writes: 1 }, { writes: 2 }, { loads: 1 }])(
    'when the guest refuses (%o), all is as before and may be tried again',
    async (failing) => {
      for (const isFar of [false, true]) {
        const memory = pages('abcdef');
        const { guest, tracker } = await open(memory, tracking);
        await tracker.checkpoint();
        await tracker.capture({ full: false });
        await tracker.commit();
        guest.isFar = isFar;
        guest.write(0, 0, pages('PQ'));
        guest.write(0, 1024, pages('R'));
        const before = await instantOf(guest, memory);
        guest.failing = { ...failing };
        if (isFar) await expect(tracker.resetToCheckpoint()).rejects.toThrow('no more');
        else expect(() => tracker.resetNow()).toThrow('no more');
        expect(await instantOf(guest, memory)).toBe(before);
        // It runs, and no page was forgotten: neither by the next save nor by the next reset.
        guest.write(0, 512, pages('S'));
        expect(await captured(tracker, 6)).toBe('0,1,2,4 of PQSdRf');
        await tracker.commit();
        expect((await tracker.resetToCheckpoint()).pagesWritten).toBe(4);
        expect(picture(memory)).toBe('abcdef');
        expect(await captured(tracker, 6)).toBe('0,1,2,4 of abcdef');
      }
    },
  );
});

describe('a checkpoint', () => {
  it('is there or not', async () => {
    const { guest, tracker } = await open(pages('a'), 'none');
    expect(() => tracker.resetNow()).toThrow(code('wrong-state'));
    await expect(tracker.resetToCheckpoint()).rejects.toEqual(code('wrong-state'));
    guest.run(1);
    await tracker.checkpoint();
    await tracker.dropCheckpoint();
    await tracker.dropCheckpoint();
    expect(() => tracker.resetNow()).toThrow(code('wrong-state'));
    await tracker.close();
    expect(() => tracker.resetNow()).toThrow(code('guest-closed'));
    await expect(tracker.checkpoint()).rejects.toEqual(code('guest-closed'));
  });

  it('is refused at once where a guest can only rest in a while', async () => {
    const { guest, tracker } = await open(pages('a'), 'none');
    await tracker.checkpoint();
    Object.defineProperty(guest, 'pauseNow', { value: undefined });
    expect(() => tracker.resetNow()).toThrow(code('unsupported'));
    expect((await tracker.resetToCheckpoint()).pagesWritten).toBe(0);
    guest.run(1);
  });

  it('looks at all pages until marks are proven, and for good when one was missed', async () => {
    for (const isMissed of [false, true]) {
      const memory = pages('abcdefgh');
      const { guest, tracker } = await open(memory, 'marks');
      Object.assign(guest.traits, { auditScans: 3 });
      const audited = await openScanTracker(guest, { openKernels: () => loadKernels() });
      await audited.checkpoint();
      for (const [round, compared] of [8, 8, 8, isMissed ? 8 : 1].entries()) {
        guest.write(0, 256, pages('X'));
        // Behind its back, as a writer does that a hook does not see.
        if (isMissed && round < 2) memory.fill(7, 1024, 1025);
        const report = audited.resetNow();
        expect([round, report.pagesCompared]).toEqual([round, compared]);
        expect(picture(memory)).toBe('abcdefgh');
      }
      const { tier } = await audited.describe();
      expect(tier).toBe(isMissed ? 'scan' : 'marks');
      await tracker.close();
    }
  });

  it('leaves a guest stopped that its user had stopped', async () => {
    const memory = pages('a');
    const { guest, tracker } = await open(memory, 'marks');
    await tracker.checkpoint();
    guest.write(0, 0, pages('X'));
    await guest.pause();
    tracker.resetNow();
    expect(picture(memory)).toBe('a');
    expect(() => guest.run(1)).toThrow(code('wrong-state'));
    await guest.resume();
    guest.run(1);
  });
});
