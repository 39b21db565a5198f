// The scan tracker: what it finds, what it remembers when a save fails, and the order of calls it insists on.

import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { nextTask } from '../../src/base/pacing.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';
import { tickingClock } from '../support/engine.ts';
import { pages, picture } from '../support/pages.ts';

/** `far`: its memory is another process's, and it tells what it wrote. */
type Kind = 'none' | 'marks' | 'far';

async function open(memory: Uint8Array, kind: Kind = 'none', pageBytes = 256, clock?: Clock) {
  const guest = new FlatGuest({
    regions: [{ name: 'ram', bytes: memory, pageBytes, guestAddress: 0 }],
    tracking: kind === 'none' ? 'none' : 'marks',
  });
  if (kind === 'far') guest.view = () => undefined;
  const options = { openKernels: () => loadKernels(), ...(clock === undefined ? {} : { clock }) };
  return { guest, tracker: await openScanTracker(guest, options) };
}

/** The changed pages of a capture's first region. */
function changed(
  answer: { readonly changed: readonly Uint32Array<ArrayBuffer>[] },
  pageCount: number,
): number[] {
  return [...new PageSet(pageCount, answer.changed[0]!)];
}

/** Page contents and what they held before, as pictures. */
async function read(tracker: Awaited<ReturnType<typeof open>>['tracker'], list: number[]) {
  const { bytes, previous, previousOf } = await tracker.readPages(0, Uint32Array.from(list));
  return { now: picture(bytes), before: picture(previous), of: [...previousOf] };
}

describe.each(['none', 'marks', 'far'] as const)('a guest of the kind %s', (tracking) => {
  it('changes are told from zeros first, then from the last commit', async () => {
    const memory = pages('.a.B');
    const { guest, tracker } = await open(memory, tracking);
    guest.write(0, 1 * 256, pages('a'));
    guest.write(0, 3 * 256, pages('B'));
    expect(changed(await tracker.capture({ full: false }), 4)).toEqual([1, 3]);
    // Told from zeros, which no delta is told from.
    expect(await read(tracker, [1, 3])).toEqual({ now: 'aB', before: '', of: [] });
    await tracker.commit();
    guest.write(0, 0, pages('C'));
    guest.write(0, 768, pages('.'));
    expect(changed(await tracker.capture({ full: false }), 4)).toEqual([0, 3]);
    expect(await read(tracker, [0, 3])).toEqual({ now: 'C.', before: '.B', of: [0, 1] });
    await tracker.commit();
    expect(changed(await tracker.capture({ full: false }), 4)).toEqual([]);
    await tracker.commit();
    expect(changed(await tracker.capture({ full: true }), 4)).toEqual([0, 1]);
  });

  it('what was put back is in the next capture, with what it held at the last commit', async () => {
    const memory = pages('....');
    const { guest, tracker } = await open(memory, tracking);
    guest.write(0, 0, pages('aa'));
    await tracker.capture({ full: false });
    await tracker.commit();
    guest.write(0, 0, pages('b'));
    expect(changed(await tracker.capture({ full: false }), 4)).toEqual([0]);
    await tracker.putBack();
    guest.write(0, 256, pages('c'));
    expect(changed(await tracker.capture({ full: false }), 4)).toEqual([0, 1]);
    expect(await read(tracker, [0, 1])).toEqual({ now: 'bc', before: 'aa', of: [0, 1] });
    await tracker.putBack();
    // Back to what was committed: still told, since the mirror had moved on; the digest finds it equal.
    guest.write(0, 0, pages('a'));
    expect(changed(await tracker.capture({ full: false }), 4)).toEqual([0, 1]);
  });

  it('the captured instant stays as it was while the guest runs on', async () => {
    const memory = pages('....');
    const { guest, tracker } = await open(memory, tracking);
    guest.write(0, 0, pages('abcd'));
    await tracker.capture({ full: false });
    guest.write(0, 0, pages('ZZZZ'));
    expect((await read(tracker, [0, 1, 2, 3])).now).toBe('abcd');
  });

  it('a restore that is abandoned leaves guest and bookkeeping as they were', async () => {
    const memory = pages('....');
    const { guest, tracker } = await open(memory, tracking);
    guest.write(0, 0, pages('ab'));
    await tracker.capture({ full: false });
    await tracker.commit();
    guest.write(0, 0, pages('c'));
    expect(changed(await tracker.beginRestore({ full: false }), 4)).toEqual([0]);
    expect(() => guest.run(1)).toThrow();
    await tracker.stagePages(0, Uint32Array.of(0, 3), pages('XY'));
    await tracker.stageZeros(0, Uint32Array.of(1));
    await tracker.abandonRestore();
    expect(picture(memory)).toBe('cb..');
    guest.write(0, 512, pages('d'));
    const pagesNow = changed(await tracker.capture({ full: false }), 4);
    expect(pagesNow).toEqual(expect.arrayContaining([0, 2]));
    expect((await read(tracker, [0, 1, 2, 3])).now).toBe('cbd.');
  });

  it('a restore writes what differs and becomes the base', async () => {
    const memory = pages('....');
    const { guest, tracker } = await open(memory, tracking);
    guest.write(0, 0, pages('abcd'));
    const { devices } = await tracker.capture({ full: false });
    await tracker.commit();
    await tracker.beginRestore({ full: false });
    await tracker.stagePages(0, Uint32Array.of(0, 1), pages('aX'));
    await tracker.stageZeros(0, Uint32Array.of(3));
    expect((await tracker.applyRestore(devices)).pagesWritten).toBe(2);
    expect(picture(memory)).toBe('aXc.');
    expect(changed(await tracker.capture({ full: false }), 4)).toEqual([]);
  });
});

describe('a guest of another process that tells what it wrote', () => {
  it('goes on before what it wrote is compared, and the instant is what it held when it rested', async () => {
    const memory = pages('......');
    const { guest, tracker } = await open(memory, 'far');
    guest.write(0, 0, pages('abcdef'));
    await tracker.capture({ full: false });
    await tracker.commit();
    guest.write(0, 0, pages('A'));
    guest.write(0, 2 * 256, pages('CD'));
    guest.write(0, 5 * 256, pages('f'));
    const resume = guest.resume.bind(guest);
    guest.resume = async () => {
      await resume();
      guest.write(0, 0, pages('ZZZZZZ'));
    };
    // What was marked and holds the same is told by the comparison alone.
    expect(changed(await tracker.capture({ full: false }), 6)).toEqual([0, 2, 3]);
    expect(await read(tracker, [0, 2, 3])).toEqual({ now: 'ACD', before: 'acd', of: [0, 1, 2] });
    await tracker.commit();
    guest.resume = resume;
    expect(changed(await tracker.capture({ full: false }), 6)).toEqual([0, 1, 2, 3, 4, 5]);
    expect((await read(tracker, [0, 1, 2, 3, 4, 5])).now).toBe('ZZZZZZ');
  });

  it.each([
    ['its devices could not be told', 'saveDevices'],
    ['its memory could not be read', 'readPages'],
    ['it could not go on', 'resume'],
  ] as const)('%s: what it marked is in the next capture', async (_, method) => {
    const { guest, tracker } = await open(pages('....'), 'far');
    await tracker.capture({ full: false });
    await tracker.commit();
    guest.write(0, 256, pages('b'));
    const kept = guest[method].bind(guest);
    const fail = async (): Promise<never> => {
      if (method === 'resume') guest.resumeNow();
      throw new Error('lost for once');
    };
    Object.assign(guest, { [method]: fail });
    await expect(tracker.capture({ full: false })).rejects.toThrow('lost for once');
    Object.assign(guest, { [method]: kept });
    guest.write(0, 768, pages('d'));
    expect(changed(await tracker.capture({ full: false }), 4)).toEqual([1, 3]);
    expect((await read(tracker, [1, 3])).now).toBe('bd');
  });

  it('reads each page once, whether it wrote as much as is copied or more', async () => {
    const pageBytes = 65_536;
    const most = 2 ** 24 / pageBytes;
    for (const count of [most, most + 1]) {
      const memory = new Uint8Array(300 * pageBytes);
      const { guest, tracker } = await open(memory, 'far', pageBytes);
      await tracker.capture({ full: false });
      await tracker.commit();
      for (let page = 0; page < count; page++) guest.write(0, page * pageBytes, Uint8Array.of(1));
      let reads = 0;
      let readsAtRest = 0;
      let takes = 0;
      const takeDirty = guest.takeDirty.bind(guest);
      guest.takeDirty = () => {
        takes++;
        return takeDirty();
      };
      const readPages = guest.readPages.bind(guest);
      guest.readPages = (...asked) => {
        reads++;
        return readPages(...asked);
      };
      const resume = guest.resume.bind(guest);
      guest.resume = async () => {
        readsAtRest = reads;
        await resume();
      };
      const list = changed(await tracker.capture({ full: false }), 300);
      expect(list).toEqual(Array.from({ length: count }, (_, page) => page));
      expect(reads).toBe(readsAtRest);
      // Some guests can tell but once what was written.
      expect(takes).toBe(1);
      expect(reads).toBe(Math.ceil((count * pageBytes) / 2 ** 18));
    }
  });
});

describe('the first capture', () => {
  it('copies most of memory while the guest runs in between, and is of one instant', async () => {
    const memory = pages('A'.repeat(64), 65_536);
    // By that clock each slice is over at once.
    const { guest, tracker } = await open(memory, 'none', 65_536, tickingClock());
    let isRunning = true;
    let writes = 0;
    const writer = (async () => {
      for (; isRunning; await nextTask()) {
        // The same number at both ends: an instant never shows two.
        writes++;
        guest.write(0, 0, Uint8Array.of(writes & 255, writes >> 8));
        guest.write(0, memory.length - 2, Uint8Array.of(writes & 255, writes >> 8));
      }
    })();
    await tracker.capture({ full: false });
    isRunning = false;
    await writer;
    expect(writes).toBeGreaterThan(3);
    const { bytes } = await tracker.readPages(0, Uint32Array.of(0, 63));
    expect(bytes.slice(-2)).toEqual(bytes.slice(0, 2));
    expect(bytes[0]! + bytes[1]!).toBeGreaterThan(0);
  });
});

describe('an engine that is gone', () => {
  it('leaves nothing begun: what it had captured is in the next capture', async () => {
    const { guest, tracker } = await open(pages('....'));
    guest.write(0, 0, pages('ab'));
    await tracker.capture({ full: false });
    await tracker.reset();
    expect(changed(await tracker.capture({ full: false }), 4)).toEqual([0, 1]);
    await tracker.commit();
    await tracker.reset();
    guest.run(1);
  });

  it('leaves no guest standing still in the middle of a restore', async () => {
    const memory = pages('....');
    const { guest, tracker } = await open(memory);
    guest.write(0, 0, pages('ab'));
    await tracker.beginRestore({ full: false });
    await tracker.stagePages(0, Uint32Array.of(0), pages('X'));
    await tracker.reset();
    guest.write(0, 768, pages('d'));
    expect(picture(memory)).toBe('ab.d');
  });

  it('is waited for where its call is under way', async () => {
    const { guest, tracker } = await open(pages('....'));
    guest.write(0, 0, pages('ab'));
    const capturing = tracker.capture({ full: false });
    await tracker.reset();
    await capturing;
    expect(changed(await tracker.capture({ full: false }), 4)).toEqual([0, 1]);
  });
});

describe('order of calls', () => {
  it('a call at another time is refused', async () => {
    const { tracker } = await open(pages('....'));
    const none = Uint32Array.of();
    const wrong = { code: 'wrong-state' };
    await expect(tracker.readPages(0, none)).rejects.toMatchObject(wrong);
    await expect(tracker.commit()).rejects.toMatchObject(wrong);
    await expect(tracker.putBack()).rejects.toMatchObject(wrong);
    await expect(tracker.stagePages(0, none, new Uint8Array(0))).rejects.toMatchObject(wrong);
    await expect(tracker.applyRestore([])).rejects.toMatchObject(wrong);
    await expect(tracker.abandonRestore()).rejects.toMatchObject(wrong);
    await tracker.capture({ full: false });
    await expect(tracker.capture({ full: false })).rejects.toMatchObject({
      ...wrong,
      data: { actual: 'captured' },
    });
    await expect(tracker.beginRestore({ full: false })).rejects.toMatchObject(wrong);
    await tracker.putBack();
    await tracker.close();
    await tracker.close();
    await expect(tracker.capture({ full: false })).rejects.toMatchObject({ code: 'guest-closed' });
    await expect(tracker.peek([])).rejects.toMatchObject({ code: 'guest-closed' });
  });

  it('one that was closed while it restored stays closed', async () => {
    const { guest, tracker } = await open(pages('....'));
    await tracker.beginRestore({ full: false });
    const saved = await guest.saveDevices();
    const applying = tracker.applyRestore(saved).catch(() => {});
    await tracker.close();
    await applying;
    await expect(tracker.stagePages(0, Uint32Array.of(), new Uint8Array(0))).rejects.toMatchObject({
      code: 'guest-closed',
    });
    await expect(tracker.capture({ full: false })).rejects.toMatchObject({ code: 'guest-closed' });
    await expect(tracker.commit()).rejects.toMatchObject({ code: 'guest-closed' });
  });

  it('the guest rests until its devices are told, also where its memory cannot be looked at', async () => {
    const { guest, tracker } = await open(pages('....'));
    const order: string[] = [];
    let isTelling = false;
    const resume = guest.resume.bind(guest);
    guest.resume = () => {
      if (isTelling) order.push('runs');
      return resume();
    };
    const readPages = guest.readPages.bind(guest);
    guest.view = () => undefined;
    guest.readPages = (...asked) => {
      if (!isTelling) return readPages(...asked);
      order.push('memory failed');
      throw new Error('its memory is gone');
    };
    guest.saveDevices = (async () => {
      isTelling = true;
      for (let turn = 0; turn < 5; turn++) await nextTask();
      order.push('devices told');
      return [];
    }) as unknown as typeof guest.saveDevices;
    await expect(tracker.capture({ full: true })).rejects.toThrow('its memory is gone');
    expect(order).toEqual(['memory failed', 'devices told', 'runs']);
  });

  it('pages outside a region, and bytes of another length, are refused', async () => {
    const { tracker } = await open(pages('....'));
    await tracker.capture({ full: false });
    await expect(tracker.readPages(0, Uint32Array.of(4))).rejects.toMatchObject({
      code: 'span-out-of-range',
    });
    await expect(tracker.readPages(1, Uint32Array.of(0))).rejects.toMatchObject({
      code: 'span-out-of-range',
    });
    await tracker.putBack();
    await tracker.beginRestore({ full: false });
    await expect(tracker.stagePages(0, Uint32Array.of(0), new Uint8Array(255))).rejects.toMatchObject({
      code: 'argument-invalid',
    });
    await expect(tracker.stageZeros(0, Uint32Array.of(4))).rejects.toMatchObject({
      code: 'span-out-of-range',
    });
    await tracker.abandonRestore();
  });
});

describe('large regions', () => {
  it('are mirrored over several kernel memories', async () => {
    // Untouched memory takes no room: of the 2.5 GiB only what is written here is ever there.
    const memory = new Uint8Array(2.5 * 2 ** 30);
    const { guest, tracker } = await open(memory, 'marks', 65_536);
    const places = [0, 2 ** 30 - 1, 2 ** 30, 2 ** 31 + 5, memory.length - 1];
    for (const at of places) guest.write(0, at, Uint8Array.of(7));
    const list = changed(await tracker.capture({ full: false }), memory.length / 65_536);
    expect(list).toEqual(places.map((at) => Math.floor(at / 65_536)));
    const { bytes } = await tracker.readPages(0, Uint32Array.from(list));
    for (const [index, at] of places.entries()) expect(bytes[index * 65_536 + (at % 65_536)]).toBe(7);
  });
});
