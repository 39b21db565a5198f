// What a guest of another thread says by itself, to a tracker in this one: which of its pages are free, and that it wants to
// be saved or put back. Its memory is shared, all else crosses a port.

import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import { DOORBELL_WORDS } from '../../src/guest/doorbell.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import type { Span } from '../../src/memory/span.ts';
import { PortFreePages } from '../../src/rpc/port-free-pages.ts';
import { connectGuest, type PortGuest } from '../../src/rpc/port-guest.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { openTestEngine } from '../support/engine.ts';
import { type NodeWorker, removeBundles, startNodeWorker } from '../support/node-worker.ts';
import type { AskingThreadAnswer, AskingThreadMessage } from './asking-thread.ts';

const PAGE_COUNT = 8;
const PAGE = 4096;
const { save, reset, first, restored, refused, nobody } = DOORBELL_WORDS;
const SKIP = { full: false, skipFree: true };
const WAIT = { interval: 1, timeout: 20_000 };

let thread: NodeWorker;
let guest: PortGuest;
let tracker: ScanTracker;
let port: MessagePort;
/** Messages that came over, in all, and rings among them. */
let heard: { all: number; rings: number };

beforeEach(async () => {
  thread = await startNodeWorker(new URL('./asking-thread.ts', import.meta.url), null);
  await join();
});
afterEach(async () => {
  port.close();
  await thread.kill();
});
afterAll(removeBundles);

async function join(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  const { offer } = await ask({ kind: 'serve', port: port1 }, [port1]);
  const lost = new Promise<VitrineError>((resolve) => {
    thread.worker.once('exit', () => resolve(new VitrineError('worker-lost', { reason: 'test' })));
  });
  heard = { all: 0, rings: 0 };
  port2.addEventListener('message', ({ data }) => {
    heard.all++;
    if (data.kind === 'vitrine:ring') heard.rings++;
  });
  port = port2;
  guest = connectGuest(port2, offer!, lost);
  tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
}

function ask(message: AskingThreadMessage, transfer: MessagePort[] = []): Promise<AskingThreadAnswer> {
  return new Promise((resolve) => {
    thread.worker.once('message', resolve);
    thread.worker.postMessage(message, transfer as never);
  });
}

const look = () => ask({ kind: 'look' });
const write = (page: number, letter: string) => ask({ kind: 'write', page, letter });
const tell = (question: number, page: number, times = 1) => ask({ kind: 'tell', question, page, times });

/** Rings, and waits for the guest to run on. Answers what it reads then. */
async function ring(word: number): Promise<number> {
  await ask({ kind: 'ring', word, times: 1 });
  await vi.waitFor(async () => expect((await look()).isResting).toBe(false), WAIT);
  return (await look()).word;
}

/** The pages that are told as changed, by their letters; `.` is zeros. */
async function capture(options: { full: boolean; skipFree?: boolean }): Promise<string> {
  const { changed } = await tracker.capture(options);
  const list = Uint32Array.from(new PageSet(PAGE_COUNT, changed[0]!));
  const { bytes } = await tracker.readPages(0, list);
  return [...list].map((page, i) => `${page}${String.fromCharCode(bytes[i * PAGE]! || 46)}`).join(' ');
}

async function captureAndCommit(options: { full: boolean; skipFree?: boolean }): Promise<string> {
  const captured = await capture(options);
  await tracker.commit();
  return captured;
}

describe('what a guest of another thread says of free pages', () => {
  it('counts from the next save on, unless it wrote there since it was asked', async () => {
    await captureAndCommit({ full: true });
    await captureAndCommit(SKIP);
    const question = (await look()).questions.length - 1;
    expect(question).toBeGreaterThanOrEqual(0);
    await write(1, 'x');
    await tell(question, 1);
    await tell(question, 2);
    await tell(question, 3);
    await write(3, 'y');
    expect(await captureAndCommit({ full: true, skipFree: true })).toBe('0a 1x 3y 4e 5f 6g 7h');
  });

  it('counts when all was told, with the answer alone', async () => {
    await captureAndCommit({ full: true });
    await captureAndCommit(SKIP);
    const question = (await look()).questions.length - 1;
    await tell(question, 2);
    const before = heard.all;
    await ask({ kind: 'answer', question });
    await vi.waitFor(() => expect(heard.all).toBe(before + 1), WAIT);
    expect(await captureAndCommit({ full: true, skipFree: true })).toBe('0a 1b 3d 4e 5f 6g 7h');
  });

  it('does not count for pages whose marks were taken, or put back, between question and telling', async () => {
    await captureAndCommit({ full: true });
    await captureAndCommit(SKIP);
    const question = (await look()).questions.length - 1;
    await write(2, 'x');
    await captureAndCommit({ full: false });
    await write(3, 'y');
    await capture({ full: false });
    await tracker.putBack();
    await write(4, 'z');
    // Marks that came along with a rest, and that nobody took.
    await guest.pause({ marks: true });
    await guest.resume();
    for (const page of [2, 3, 4, 5]) await tell(question, page);
    expect(await captureAndCommit({ full: true, skipFree: true })).toBe('0a 1b 2x 3y 4z 6g 7h');
  });

  it('does not count for a question that another one ended', async () => {
    await captureAndCommit({ full: true });
    await captureAndCommit(SKIP);
    const question = (await look()).questions.length - 1;
    await write(1, 'x');
    await tracker.capture(SKIP);
    await tracker.commit();
    const { questions } = await look();
    expect(questions.length).toBeGreaterThan(question + 1);
    expect(questions[question]!.hasEnded).toBe(true);
    await tell(question, 1);
    expect(await captureAndCommit({ full: true, skipFree: true })).toBe('0a 1x 2c 3d 4e 5f 6g 7h');
  });

  it('is forgotten when the guest goes to another instant', async () => {
    await captureAndCommit({ full: true });
    await tracker.checkpoint();
    await captureAndCommit(SKIP);
    const question = (await look()).questions.length - 1;
    await write(1, 'x');
    await tracker.resetToCheckpoint();
    await vi.waitFor(async () => expect((await look()).questions[question]!.hasEnded).toBe(true), WAIT);
    await tell(question, 1);
    await tell(question, 2);
    expect(await captureAndCommit({ full: true, skipFree: true })).toBe('0a 1b 2c 3d 4e 5f 6g 7h');
  });

  it('does not cross a port for each telling, and a guest that never ends is not listened to', async () => {
    await captureAndCommit({ full: true });
    await captureAndCommit(SKIP);
    const question = (await look()).questions.length - 1;
    const before = heard.all;
    await tell(question, 2, 100_000);
    await vi.waitFor(async () => expect((await look()).questions[question]!.hasEnded).toBe(true), WAIT);
    await vi.waitFor(() => expect(heard.all).toBe(before + 1), WAIT);
    expect(await captureAndCommit({ full: true, skipFree: true })).toBe('0a 1b 3d 4e 5f 6g 7h');
  });

  it('may never come: its thread dies, and whoever waits hears of it', async () => {
    await guest.pause();
    const { done } = guest.freePageHint!(() => {});
    await guest.resume();
    await Promise.all([
      expect(done).rejects.toEqual(expect.objectContaining({ code: 'worker-lost' })),
      thread.kill(),
    ]);
  });

  it('belongs to its question, also when it was on its way as the next one was asked', async () => {
    const never = new Promise<never>(() => {});
    const ended: number[] = [];
    const served = {
      askFreePages: () => never,
      endFreePages: async (question: number) => void ended.push(question),
    };
    const free = new PortFreePages(served, guest.regions);
    const spans: Span[] = [];
    const words = [PageSet.from(PAGE_COUNT, [2, 3]).words];
    const request = free.ask((span) => spans.push(span));
    free.hear({ question: 1, words });
    expect(spans).toEqual([{ region: 0, offsetBytes: 2 * PAGE, lengthBytes: 2 * PAGE }]);
    free.ask((span) => spans.push(span));
    free.hear({ question: 1, words });
    expect(spans).toHaveLength(1);
    // The first one is over already: ending it must not end the second.
    request.end();
    expect(ended).toEqual([]);
    free.hear({ question: 2, words });
    expect(spans).toHaveLength(2);
  });
});

describe('the doorbell of a guest of another thread', () => {
  it('is served by checkpoints', async () => {
    const engine = await openTestEngine();
    const served = await engine.adopt('far', tracker).serveDoorbell();
    await ask({ kind: 'run', steps: 30 });
    expect(await ring(save)).toBe(first);
    for (let round = 0; round < 3; round++) {
      await ask({ kind: 'run', steps: 20 });
      expect(await ring(reset)).toBe(restored);
      expect((await look()).steps).toBe(30);
    }
    expect(await served.report()).toMatchObject({ rings: 4, saves: 1, resets: 3, refused: 0 });
    await served.stop();
    expect(await ring(save)).toBe(nobody);
  });

  it('is served by snapshots, and refused where they are not allowed', async () => {
    const engine = await openTestEngine();
    let isAllowed = true;
    await engine.adopt('far', tracker).serveDoorbell({
      keep: 'snapshot',
      maxPerSecond: 1000,
      save: { label: 'asked' },
      allow: () => isAllowed,
    });
    await ask({ kind: 'run', steps: 30 });
    expect(await ring(save)).toBe(first);
    expect((await engine.log()).map(({ label }) => label)).toEqual(['asked']);
    await ask({ kind: 'run', steps: 20 });
    expect(await ring(reset)).toBe(restored);
    expect((await look()).steps).toBe(30);
    isAllowed = false;
    expect(await ring(save)).toBe(refused);
  });

  it('keeps a flood of rings in its own thread', async () => {
    await tracker.doorbell.serve({ serve: 'checkpoint', maxPerSecond: 1e-6 });
    expect(await ring(save)).toBe(first);
    await ask({ kind: 'ring', word: save, times: 10_000 });
    expect((await look()).word).toBe(refused);
    expect(await tracker.doorbell.report()).toMatchObject({ rings: 10_001, saves: 1, refused: 10_000 });
    expect(heard.rings).toBe(1);
  });

  it('refuses what the tracker cannot do, and says why', async () => {
    await tracker.doorbell.serve({ serve: 'checkpoint', maxPerSecond: 1000 });
    expect(await ring(reset)).toBe(refused);
    expect(await tracker.doorbell.report()).toMatchObject({ refused: 1, lastFailure: 'wrong-state' });
    await expect(tracker.doorbell.serve({ serve: 'ask', maxPerSecond: 0 })).rejects.toEqual(
      expect.objectContaining({ code: 'argument-invalid' }),
    );
  });

  it('does not hold a guest whose tracker is gone, and a new one serves again', async () => {
    await tracker.doorbell.serve({ serve: 'ask', maxPerSecond: 1000 });
    const asked = tracker.doorbell.nextRing();
    await ask({ kind: 'ring', word: save, times: 1 });
    expect(await asked).toBe('save');
    expect((await look()).isResting).toBe(true);
    // What the guest's worker does when the engine's is lost.
    await ask({ kind: 'release' });
    await vi.waitFor(async () => expect((await look()).isResting).toBe(false), WAIT);
    expect((await look()).word).toBe(refused);
    expect(await ring(save)).toBe(nobody);
    await join();
    await tracker.doorbell.serve({ serve: 'checkpoint', maxPerSecond: 1000 });
    expect(await ring(save)).toBe(first);
  });

  it('refuses the ring in hand when it is served no longer', async () => {
    await tracker.doorbell.serve({ serve: 'ask', maxPerSecond: 1000 });
    const asked = tracker.doorbell.nextRing();
    await ask({ kind: 'ring', word: save, times: 1 });
    await asked;
    await tracker.doorbell.stop();
    await vi.waitFor(async () => expect((await look()).isResting).toBe(false), WAIT);
    expect((await look()).word).toBe(refused);
  });

  it('ends with its thread', async () => {
    await tracker.doorbell.serve({ serve: 'ask', maxPerSecond: 1000 });
    const next = tracker.doorbell.nextRing();
    await thread.kill();
    await expect(tracker.doorbell.report()).rejects.toEqual(expect.objectContaining({ code: 'worker-lost' }));
    await tracker.doorbell.stop();
    expect(await next).toBeNull();
  });
});
