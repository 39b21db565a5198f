// Free pages: believed when they were not written, from guests that lie, come late, or never answer; and what saves, restores,
// resets and diffs see of pages that were left out.

import { describe, expect, it } from 'vitest';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { FreeSpanListener } from '../../src/guest/free-pages.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { pages, picture } from '../support/pages.ts';

const PAGE = 256;
const SKIP = { full: false, skipFree: true };

/** A guest whose answers a test gives, when it likes. */
class AnsweringGuest extends FlatGuest {
  /** The questions so far. */
  readonly asked: { readonly tell: FreeSpanListener; answer(): void; hasEnded: boolean }[] = [];
  refuses = false;

  override freePageHint = (tell: FreeSpanListener) => {
    if (this.refuses) throw new Error('no driver');
    let answer = () => {};
    const done = new Promise<void>((resolve) => (answer = resolve));
    const question = { tell, answer, hasEnded: false };
    this.asked.push(question);
    const end = (): void => {
      question.hasEnded = true;
    };
    return { done, end };
  };
}

async function open(memory: Uint8Array, tracking: 'none' | 'marks' | 'barrier' = 'marks') {
  const regions = [{ name: 'ram', bytes: memory, pageBytes: PAGE }];
  const guest = new AnsweringGuest({ regions, tracking });
  const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  return { guest, tracker, free: (first: number, count = 1) => tell(guest, first, count) };
}

function tell(guest: AnsweringGuest, first: number, count: number): void {
  guest.asked.at(-1)!.tell({ region: 0, offsetBytes: first * PAGE, lengthBytes: count * PAGE });
}

function write(guest: FlatGuest, page: number, letter: string): void {
  guest.write(0, page * PAGE, pages(letter));
}

/** Pages that are told as changed, with what they hold in the captured instant. */
async function capture(tracker: ScanTracker, options = SKIP): Promise<string> {
  const { changed } = await tracker.capture(options);
  const list = Uint32Array.from(new PageSet(changed[0]!.length * 32, changed[0]!));
  const { bytes } = await tracker.readPages(0, list);
  return [...list]
    .map((page, index) => `${page}${picture(bytes.subarray(index * PAGE, (index + 1) * PAGE))}`)
    .join(' ');
}

/** A guest that was saved once as `abcd`, with a question open since. */
async function afterSave() {
  const opened = await open(pages('abcd'));
  await capture(opened.tracker);
  await opened.tracker.commit();
  return opened;
}

describe('a page that the guest says is free', () => {
  it('is not in the first save, told while it is copied ahead', async () => {
    const { guest, tracker, free } = await open(pages('abcd'));
    const ask = guest.freePageHint;
    guest.freePageHint = (listener) => {
      const request = ask(listener);
      free(1, 2);
      return request;
    };
    expect(await capture(tracker, { full: true, skipFree: true })).toBe('0a 3d');
    await tracker.commit();
    // The guest's own memory is as it was.
    expect(picture(await live(guest))).toBe('abcd');
  });

  it('is left out when it was written, freed, and then asked about', async () => {
    const { guest, tracker, free } = await afterSave();
    write(guest, 1, 'x');
    const capturing = tracker.capture(SKIP);
    await untilAsked(guest, 2);
    free(1);
    const { changed, pagesSkippedFree } = await capturing;
    expect([...new PageSet(32, changed[0]!)]).toEqual([1]);
    expect(pagesSkippedFree).toBe(1);
    const { bytes, previousOf } = await tracker.readPages(0, Uint32Array.of(1));
    expect(picture(bytes)).toBe('.');
    expect(previousOf).toHaveLength(0);
    await tracker.commit();
    // The base holds zeros, and so does the next instant: nothing to tell.
    expect(await capture(tracker)).toBe('');
    await tracker.commit();
    // The guest's own memory is as it was, and counts again as soon as the guest uses it.
    expect(picture(await live(guest))).toBe('axcd');
    guest.write(0, PAGE, pages('x').subarray(0, 1));
    expect(await capture(tracker)).toBe('1x');
    await tracker.commit();
    expect(await capture(tracker)).toBe('');
  });

  it('is left out of a live capture too', async () => {
    const { guest, tracker, free } = await open(pages('abcd'), 'barrier');
    await capture(tracker);
    await tracker.commit();
    write(guest, 1, 'x');
    write(guest, 2, 'y');
    const capturing = tracker.capture({ ...SKIP, live: {} });
    await untilAsked(guest, 2);
    free(1);
    const { live, pagesSkippedFree } = await capturing;
    expect(live?.mode).toBe('barrier');
    expect(pagesSkippedFree).toBe(1);
    const { bytes } = await tracker.readPages(0, Uint32Array.of(1, 2));
    expect(picture(bytes)).toBe('.y');
  });

  it('counts when it is asked for later with every byte kept', async () => {
    const { tracker } = await leftOut();
    expect(await capture(tracker, { full: false, skipFree: false })).toBe('1x');
    await tracker.commit();
    expect(await capture(tracker, { full: false, skipFree: false })).toBe('');
  });

  it('stays to be saved when the save that left it out failed', async () => {
    const { guest, tracker, free } = await afterSave();
    write(guest, 1, 'x');
    const capturing = tracker.capture(SKIP);
    await untilAsked(guest, 2);
    free(1);
    await capturing;
    await tracker.putBack();
    expect(await capture(tracker, { full: false, skipFree: false })).toBe('1x');
  });

  it('is what a restore has to write, where the base holds zeros', async () => {
    const { guest, tracker } = await leftOut();
    const { changed } = await tracker.beginRestore({ full: false });
    expect([...new PageSet(32, changed[0]!)]).toEqual([1]);
    await tracker.stageZeros(0, Uint32Array.of(1));
    guest.pauseNow();
    const devices = guest.saveDevices();
    guest.resumeNow();
    await tracker.applyRestore(devices);
    expect(picture(await live(guest))).toBe('a.cd');
    expect(await capture(tracker)).toBe('');
  });
});

describe('a page is not believed to be free', () => {
  it('when it was written after the question, before or after it was told', async () => {
    const { guest, tracker, free } = await afterSave();
    free(1);
    write(guest, 1, 'x');
    write(guest, 2, 'y');
    free(2);
    expect(await capture(tracker)).toBe('1x 2y');
  });

  it('when it is used again after it was left out, with the same bytes', async () => {
    const { guest, tracker } = await leftOut();
    // The same content as before: only the mark tells.
    write(guest, 1, 'x');
    expect(await capture(tracker)).toBe('1x');
  });

  it('when the guest was brought back to a time when it was in use', async () => {
    const { guest, tracker, free } = await open(pages('abcd'));
    await tracker.checkpoint();
    await capture(tracker);
    await tracker.commit();
    write(guest, 3, 'z');
    const capturing = tracker.capture(SKIP);
    await untilAsked(guest, 1);
    free(0, 4);
    await capturing;
    await tracker.commit();
    tracker.resetNow();
    guest.asked.at(-1)!.tell({ region: 0, offsetBytes: 0, lengthBytes: 4 * PAGE });
    expect(await capture(tracker, { full: true, skipFree: true })).toBe('0a 1b 2c 3d');
  });

  it('when its guest does not say what it writes', async () => {
    const { guest, tracker } = await open(pages('abcd'), 'none');
    expect(await capture(tracker)).toBe('0a 1b 2c 3d');
    expect(guest.asked).toEqual([]);
  });

  it('when the answer comes after the instant; for the next one it is', async () => {
    const { guest, tracker, free } = await afterSave();
    write(guest, 1, 'x');
    expect(await capture(tracker)).toBe('1x');
    free(1);
    // The instant is what it was.
    expect(picture((await tracker.readPages(0, Uint32Array.of(1))).bytes)).toBe('x');
    await tracker.commit();
    expect(await capture(tracker, { full: true, skipFree: true })).toBe('0a 2c 3d');
  });
});

describe('a hostile answer', () => {
  it.each([
    [
      'past the end',
      (t: FreeSpanListener) => t({ region: 0, offsetBytes: 1e15, lengthBytes: 1e15 }),
      '0a 1b 2c 3d',
    ],
    [
      'before the start',
      (t: FreeSpanListener) => t({ region: 0, offsetBytes: -PAGE, lengthBytes: 9 * PAGE }),
      '0a 1b 2c 3d',
    ],
    [
      'of no region',
      (t: FreeSpanListener) => t({ region: 7, offsetBytes: 0, lengthBytes: PAGE }),
      '0a 1b 2c 3d',
    ],
    [
      'of no number',
      (t: FreeSpanListener) => t({ region: 0, offsetBytes: Number.NaN, lengthBytes: Number.NaN }),
      '0a 1b 2c 3d',
    ],
    [
      'of negative length',
      (t: FreeSpanListener) => t({ region: 0, offsetBytes: 0, lengthBytes: -1 }),
      '0a 1b 2c 3d',
    ],
    [
      'of parts of pages',
      (t: FreeSpanListener) => t({ region: 0, offsetBytes: 1, lengthBytes: 2 * PAGE }),
      '0a 2c 3d',
    ],
    [
      'half outside',
      (t: FreeSpanListener) => t({ region: 0, offsetBytes: 3 * PAGE, lengthBytes: 1e300 }),
      '0a 1b 2c',
    ],
    [
      'without end',
      (t: FreeSpanListener) => t({ region: 0, offsetBytes: PAGE, lengthBytes: Number.POSITIVE_INFINITY }),
      '0a',
    ],
  ])('%s does no harm', async (_, lie, expected) => {
    const { guest, tracker } = await afterSave();
    lie(guest.asked[0]!.tell);
    expect(await capture(tracker, { full: true, skipFree: true })).toBe(expected);
  });

  it('told again and again is listened to for a while, and then ended', async () => {
    const { guest, tracker } = await afterSave();
    const [question] = guest.asked;
    let told = 0;
    while (!question!.hasEnded && told < 1_000_000) {
      question!.tell({ region: 0, offsetBytes: 0, lengthBytes: PAGE });
      told++;
    }
    expect(told).toBeLessThan(100);
    question!.tell({ region: 0, offsetBytes: 0, lengthBytes: 4 * PAGE });
    expect(await capture(tracker, { full: true, skipFree: true })).toBe('1b 2c 3d');
  });

  it('to an older question is not heard', async () => {
    const { guest, tracker } = await afterSave();
    await capture(tracker);
    await tracker.commit();
    expect(guest.asked[0]!.hasEnded).toBe(true);
    guest.asked[0]!.tell({ region: 0, offsetBytes: 0, lengthBytes: 4 * PAGE });
    expect(await capture(tracker, { full: true, skipFree: true })).toBe('0a 1b 2c 3d');
  });

  it('that never comes, and a guest that throws, keep no save waiting', async () => {
    const { guest, tracker } = await open(new Uint8Array(2048 * PAGE).fill(1));
    for (let round = 0; round < 3; round++) {
      guest.refuses = round === 2;
      guest.run(50_000);
      await tracker.capture(SKIP);
      await tracker.commit();
    }
    await tracker.close();
    expect(guest.asked.every((question) => question.hasEnded)).toBe(true);
  });
});

/** The guest's memory as it is. */
async function live(guest: FlatGuest): Promise<Uint8Array> {
  guest.pauseNow();
  try {
    return guest.view(0)!.slice();
  } finally {
    guest.resumeNow();
  }
}

/** Until as many questions were asked: a capture asks in a pause of its own. */
async function untilAsked(guest: AnsweringGuest, count: number): Promise<void> {
  while (guest.asked.length < count) await Promise.resolve();
}

/** A guest `axcd` whose last save holds `a.cd`. */
async function leftOut() {
  const opened = await afterSave();
  write(opened.guest, 1, 'x');
  const capturing = opened.tracker.capture(SKIP);
  await untilAsked(opened.guest, 2);
  opened.free(1);
  await capturing;
  await opened.tracker.commit();
  return opened;
}
