// A guest of another thread, tracked from this one over its shared memory while it works: what is peeked, captured,
// restored and reset is exact, and whatever becomes of either thread, no call hangs and no guest stands still.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { SYSTEM_CLOCK } from '../../src/base/clock.ts';
import { VitrineError } from '../../src/base/error.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { Guest, PauseNeeds } from '../../src/guest/guest.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { PageSet } from '../../src/memory/page-set.ts';
import { pageCountOf } from '../../src/memory/region.ts';
import { exposeGuest, type GuestOffer, offerOf } from '../../src/rpc/guest-port.ts';
import { connectGuest, type PortGuest } from '../../src/rpc/port-guest.ts';
import { guestConformance } from '../../src/testing/guest-conformance.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { type NodeWorker, removeBundles, startNodeWorker } from '../support/node-worker.ts';
import type { GuestThreadData, GuestThreadMessage } from './guest-thread.ts';

const MIB = 2 ** 20;
const PAGE = 4096;
const NEVER = new Promise<VitrineError>(() => {});

const flatInSharedMemory = (tracking: 'none' | 'marks') =>
  new FlatGuest({
    regions: [
      { name: 'ram', bytes: new Uint8Array(new SharedArrayBuffer(10 * PAGE)), guestAddress: 0 },
      { name: 'disk', bytes: new Uint8Array(3 * PAGE + 17), kind: 'disk' },
    ],
    tracking,
  });

for (const tracking of ['none', 'marks'] as const) {
  guestConformance(
    `a flat guest at a port, with ${tracking} tracking`,
    async () => {
      const flat = flatInSharedMemory(tracking);
      const { port1, port2 } = new MessageChannel();
      exposeGuest(flat, port1);
      const guest = connectGuest(port2, offerOf(flat)!, NEVER);
      ports.push(port1, port2);
      return { guest: asking(guest), run: async () => flat.run(500) };
    },
    { describe, it, expect },
  );
}

const ports: MessagePort[] = [];
afterAll(async () => {
  for (const port of ports) port.close();
  await removeBundles();
});

/** A guest whose pauses ask for all there is, as a tracker's do. */
function asking(guest: PortGuest): Guest {
  const needs: PauseNeeds = { marks: true, devices: true };
  return new Proxy(guest, {
    get: (target, name) => {
      if (name === 'pause') return () => target.pause(needs);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** A guest at work in a thread of its own, tracked from here. */
class Remote {
  readonly thread: NodeWorker;
  readonly guest: PortGuest;
  readonly tracker: ScanTracker;
  readonly declareLost: () => void;

  private constructor(thread: NodeWorker, guest: PortGuest, tracker: ScanTracker, declareLost: () => void) {
    this.thread = thread;
    this.guest = guest;
    this.tracker = tracker;
    this.declareLost = declareLost;
  }

  static async open(data: GuestThreadData): Promise<Remote> {
    const thread = await startNodeWorker(new URL('./guest-thread.ts', import.meta.url), data);
    return Remote.join(thread);
  }

  /** A new tracker for a guest that may have had one. */
  static async join(thread: NodeWorker): Promise<Remote> {
    const { port1, port2 } = new MessageChannel();
    ports.push(port2);
    const offer = (await ask(thread, { kind: 'serve', port: port1 }, [port1])) as GuestOffer;
    let declareLost = (): void => {};
    const lost = new Promise<VitrineError>((resolve) => {
      declareLost = () => resolve(new VitrineError('worker-lost', { reason: 'test' }));
    });
    thread.worker.once('exit', () => declareLost());
    const guest = connectGuest(port2, offer, lost);
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    return new Remote(thread, guest, tracker, declareLost);
  }

  /** What the guest held when its devices were saved last. */
  async witness(): Promise<Uint8Array[]> {
    return ((await ask(this.thread, { kind: 'witness' })) as { witness: Uint8Array[] }).witness;
  }

  async steps(): Promise<number> {
    return ((await ask(this.thread, { kind: 'witness' })) as { steps: number }).steps;
  }

  /** Resolves when the guest has worked on. */
  async worksOn(): Promise<boolean> {
    const before = await this.steps();
    while ((await this.steps()) === before);
    return true;
  }

  /** All that the captured instant holds. */
  async captured(): Promise<Buffer[]> {
    const memory: Buffer[] = [];
    for (const region of this.guest.regions) {
      const pages = Uint32Array.from(PageSet.all(pageCountOf(region)));
      const { bytes } = await this.tracker.readPages(region.id, pages);
      memory.push(Buffer.from(bytes.subarray(0, region.sizeBytes)));
    }
    return memory;
  }
}

function ask(
  thread: NodeWorker,
  message: GuestThreadMessage,
  transfer: MessagePort[] = [],
): Promise<unknown> {
  const { worker } = thread;
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error('the thread has ended'));
    worker.once('exit', onExit);
    worker.once('message', (answer: unknown) => {
      worker.off('exit', onExit);
      resolve(answer);
    });
    worker.postMessage(message, transfer as never);
  });
}

const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'ok',
    (error: { code?: string }) => error.code ?? String(error),
  );

const same = (a: readonly Uint8Array[], b: readonly Uint8Array[]) =>
  a.map((bytes, i) => Buffer.compare(bytes, b[i]!));

describe.each(['none', 'marks'] as const)(
  'a guest of another thread at work, with %s tracking',
  (tracking) => {
    let remote: Remote;
    beforeAll(async () => {
      remote = await Remote.open({ sizeBytes: 8 * MIB, tracking, seed: 5 });
    });
    afterAll(() => remote.thread.kill());

    it('is captured as it was at rest, byte for byte, again and again', async () => {
      for (let round = 0; round < 6; round++) {
        const { changed } = await remote.tracker.capture({ full: round === 0 });
        expect(same(await remote.captured(), await remote.witness())).toEqual([0, 0]);
        const pages = changed.reduce(
          (sum, words) => sum + words.reduce((n, word) => n + (word === 0 ? 0 : 1), 0),
          0,
        );
        expect(pages).toBeGreaterThan(0);
        await (round % 2 === 0 ? remote.tracker.commit() : remote.tracker.putBack());
        await remote.worksOn();
      }
    });

    it('is looked at where it says that it wrote, also when it was held before', async () => {
      await remote.tracker.capture({ full: true });
      await remote.tracker.commit();
      await remote.tracker.hold();
      await remote.tracker.capture({ full: false });
      await remote.tracker.commit();
      const { pagesScanned } = await remote.tracker.capture({ full: false });
      await remote.tracker.commit();
      await remote.tracker.release();
      const all = remote.guest.regions.reduce((sum, region) => sum + pageCountOf(region), 0);
      expect(pagesScanned).toBe(tracking === 'marks' ? 0 : all);
    });

    it('is peeked at one instant, or torn without any rest', async () => {
      const spans = [
        { region: 0, offsetBytes: 4 * MIB - 5, lengthBytes: MIB },
        { region: 0, offsetBytes: 3, lengthBytes: 7 },
      ];
      const whole = await remote.tracker.peek(spans);
      expect(whole.consistency).toBe('instant');
      expect(whole.bytes.map(({ length }) => length)).toEqual([MIB, 7]);
      // Held still, both ways of looking see the same.
      await remote.tracker.hold();
      const [still, torn] = [
        await remote.tracker.peek(spans),
        await remote.tracker.peek(spans, { consistency: 'torn' }),
      ];
      expect(torn).toMatchObject({ consistency: 'torn', pauseMs: 0 });
      expect(same(still.bytes, torn.bytes)).toEqual([0, 0]);
      await remote.tracker.release();
      await remote.worksOn();
      expect(
        await codeOf(
          remote.tracker.peek([{ region: 0, offsetBytes: 8 * MIB, lengthBytes: 1 }], { consistency: 'torn' }),
        ),
      ).toBe('span-out-of-range');
      // What is not shared cannot be read without a rest, and is said to be of one instant.
      const disk = await remote.tracker.peek([{ region: 1, offsetBytes: 0, lengthBytes: 70_000 }], {
        consistency: 'torn',
      });
      expect(disk.consistency).toBe('instant');
    });

    it('is restored, disk and all, and goes on from there', async () => {
      const { devices } = await remote.tracker.capture({ full: true });
      const memory = await remote.captured();
      await remote.tracker.commit();
      await remote.worksOn();
      await remote.tracker.beginRestore({ full: false });
      for (const region of remote.guest.regions) {
        const pages = Uint32Array.from(PageSet.all(pageCountOf(region)));
        const bytes = new Uint8Array(pages.length * region.pageBytes);
        bytes.set(memory[region.id]!);
        await remote.tracker.stagePages(region.id, pages, bytes);
      }
      const { pagesWritten } = await remote.tracker.applyRestore(devices);
      expect(pagesWritten).toBeGreaterThan(0);
      await remote.worksOn();
      await remote.tracker.capture({ full: false });
      expect(same(await remote.captured(), await remote.witness())).toEqual([0, 0]);
      await remote.tracker.commit();
    });

    it('is brought back to a checkpoint', async () => {
      await remote.tracker.checkpoint();
      const point = await remote.witness();
      for (let round = 0; round < 3; round++) {
        await remote.worksOn();
        await remote.tracker.hold();
        const { pagesWritten } = await remote.tracker.resetToCheckpoint();
        expect(pagesWritten).toBeGreaterThan(0);
        const spans = remote.guest.regions.map(({ id, sizeBytes }) => ({
          region: id,
          offsetBytes: 0,
          lengthBytes: sizeBytes,
        }));
        expect(same((await remote.tracker.peek(spans)).bytes, point)).toEqual([0, 0]);
        await remote.tracker.release();
      }
    });
  },
);

describe('a guest of another thread at work, captured while it runs', () => {
  const RAM = 8 * MIB;
  let remote: Remote;
  beforeAll(async () => {
    remote = await Remote.open({ sizeBytes: RAM, tracking: 'barrier', seed: 11 });
    await remote.tracker.capture({ full: true });
    await remote.tracker.commit();
  });
  afterAll(() => remote.thread.kill());

  it.each([
    ['no ring', 0],
    ['a small ring', 16 * PAGE],
    ['a ring as large as memory', RAM],
  ])('is what it was at the instant, with %s', async (_, bufferBytes) => {
    let copiedAside = 0;
    for (let round = 0; round < 8; round++) {
      const { live } = await remote.tracker.capture({ full: round % 3 === 0, live: { bufferBytes } });
      expect(live).toMatchObject({ mode: 'barrier' });
      expect(same(await remote.captured(), await remote.witness())).toEqual([0, 0]);
      copiedAside += live!.pagesCopiedAside;
      expect(live!.peakRingBytes).toBeLessThanOrEqual(bufferBytes);
      if (bufferBytes === 0) expect(live!.spilled).toBe(live!.pagesCopiedAside);
      if (bufferBytes === RAM) expect(live!.spilled).toBe(0);
      await (round % 2 === 0 ? remote.tracker.commit() : remote.tracker.putBack());
      await remote.worksOn();
    }
    // It writes so much that some of it falls into the captures.
    expect(copiedAside).toBeGreaterThan(0);
  });

  it('runs on when a capture is given up, and the next one is exact', async () => {
    const given = codeOf(remote.tracker.capture({ full: true, live: { bufferBytes: 0 } }));
    await remote.tracker.cancelCapture();
    expect(['ok', 'aborted']).toContain(await given);
    await remote.tracker.reset();
    await remote.worksOn();
    await remote.tracker.capture({ full: false, live: {} });
    expect(same(await remote.captured(), await remote.witness())).toEqual([0, 0]);
    await remote.tracker.commit();
  });

  it('works on when its tracker is gone in the middle, and a new one may capture it', async () => {
    const barrier = remote.guest.openBarrier({ ringBytes: PAGE, clock: SYSTEM_CLOCK });
    await remote.guest.pause();
    barrier.arm(
      remote.guest.regions.map((region) => PageSet.all(pageCountOf(region))),
      () => {},
    );
    await remote.guest.resume();
    await remote.worksOn();
    await ask(remote.thread, { kind: 'release' });
    await remote.worksOn();
    remote = await Remote.join(remote.thread);
    const { live } = await remote.tracker.capture({ full: true, live: { bufferBytes: MIB } });
    expect(live?.mode).toBe('barrier');
    expect(same(await remote.captured(), await remote.witness())).toEqual([0, 0]);
    await remote.tracker.commit();
  });

  it('ends with worker-lost when it dies in the middle', async () => {
    const capturing = codeOf(remote.tracker.capture({ full: true, live: { bufferBytes: 0 } }));
    await remote.thread.kill();
    expect(await capturing).toBe('worker-lost');
  });
});

describe('when one of the threads is gone', () => {
  const remotes: Remote[] = [];
  const open = async () => {
    const remote = await Remote.open({ sizeBytes: 4 * MIB, tracking: 'marks', seed: 9 });
    remotes.push(remote);
    return remote;
  };
  afterEach(async () => {
    for (const remote of remotes.splice(0)) await remote.thread.kill();
  });

  it('calls under way and later ones end with worker-lost', async () => {
    const remote = await open();
    await remote.tracker.capture({ full: true });
    await remote.tracker.commit();
    await ask(remote.thread, { kind: 'die-at-devices' });
    expect(await codeOf(remote.tracker.capture({ full: false }))).toBe('worker-lost');
    expect(await codeOf(remote.tracker.peek([{ region: 0, offsetBytes: 0, lengthBytes: 1 }]))).toBe(
      'worker-lost',
    );
    const killed = await open();
    const reading = codeOf(killed.tracker.peek([{ region: 0, offsetBytes: 0, lengthBytes: 4 * MIB }]));
    const capturing = codeOf(killed.tracker.capture({ full: true }));
    await killed.thread.kill();
    expect(['ok', 'worker-lost']).toContain(await reading);
    expect(await capturing).toBe('worker-lost');
    expect(await codeOf(killed.tracker.capture({ full: true }))).toBe('worker-lost');
  });

  it('the guest does not stand still for a tracker that is gone, and forgets no page', async () => {
    const remote = await open();
    await remote.tracker.capture({ full: true });
    await remote.tracker.commit();
    await remote.worksOn();
    // Gone in the middle of a pause, with marks taken and not settled.
    await remote.guest.pause({ marks: true });
    const taken = remote.guest.takeDirty().pages[0]!;
    expect(taken.size).toBeGreaterThan(0);
    const { rests } = (await ask(remote.thread, { kind: 'release' })) as { rests: number };
    expect(rests).toBe(0);
    remote.declareLost();
    expect(await codeOf(remote.guest.resume())).toBe('worker-lost');
    const heir = await Remote.join(remote.thread);
    await heir.guest.pause({ marks: true });
    const marked = heir.guest.takeDirty().pages[0]!;
    await heir.guest.resume();
    expect([...taken].filter((page) => !marked.has(page))).toEqual([]);
    await heir.tracker.capture({ full: true });
    expect(same(await heir.captured(), await heir.witness())).toEqual([0, 0]);
  });
});
