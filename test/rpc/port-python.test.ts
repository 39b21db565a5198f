// A WebAssembly program at work in a thread of its own, tracked by this one: guest and saver meet at the same pages, and each
// captured instant is the one of which the guest's thread made a copy at rest.

import { once } from 'node:events';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import type { GuestOffer } from '../../src/rpc/guest-port.ts';
import { connectGuest } from '../../src/rpc/port-guest.ts';
import { openScanTracker, type ScanTracker } from '../../src/tracking/scan-tracker.ts';
import { wasmUrl } from '../support/micropython-loader.ts';
import { type NodeWorker, removeBundles, startNodeWorker } from '../support/node-worker.ts';
import { expectSame } from '../support/same.ts';
import type { PythonThreadData, PythonThreadMessage } from './python-thread.ts';

const PACKAGE = '@micropython/micropython-webassembly-pyscript';
const loaderUrl = pathToFileURL(createRequire(import.meta.url).resolve(PACKAGE)).href;
const MEMORY_BYTES = 48 * MIB;
/** What MicroPython's memory begins with, and a little more. */
const INITIAL_BYTES = 17 * MIB;

afterAll(removeBundles);

describe.each(['marks', 'barrier'] as const)('MicroPython with %s in a thread of its own', (tracking) => {
  let thread: NodeWorker;
  let tracker: ScanTracker;
  let port: MessagePort;

  // Rejects when the thread fails.
  const hear = async (): Promise<unknown> => (await once(thread.worker, 'message'))[0];
  const ask = (message: PythonThreadMessage, transfer: MessagePort[] = []) => {
    const answer = hear();
    thread.worker.postMessage(message, transfer as never);
    return answer;
  };
  const witness = async () => (await ask({ kind: 'witness' })) as Uint8Array;
  const pages = Uint32Array.from({ length: MEMORY_BYTES / 4096 }, (_, page) => page);

  beforeEach(async () => {
    const data: PythonThreadData = { loaderUrl, wasmUrl, tracking, maxMemoryBytes: MEMORY_BYTES };
    thread = await startNodeWorker(new URL('./python-thread.ts', import.meta.url), data);
    expect(await hear()).toBe('up');
    const { port1, port2 } = new MessageChannel();
    port = port2;
    const offer = (await ask({ kind: 'serve', port: port1 }, [port1])) as GuestOffer;
    expect(offer.traits).toMatchObject({ tracking, sharedMemory: true });
    const guest = connectGuest(port2, offer, new Promise(() => {}));
    tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
  });
  afterEach(async () => {
    port.close();
    await thread.kill();
  });

  it('is captured at rest by what it marked, exactly', async () => {
    const scanned: number[] = [];
    for (let round = 0; round < 6; round++) {
      const { pagesScanned } = await tracker.capture({ full: false });
      scanned.push(pagesScanned);
      const { bytes } = await tracker.readPages(0, pages);
      expectSame(bytes, await witness());
      await tracker.commit();
    }
    // Its marks are believed in the end: only what it wrote is looked at.
    expect(scanned.at(-1)).toBeLessThan(pages.length);
  });

  it('is captured while it runs as it was at the instant, whatever the ring', async () => {
    const modes = new Set<string>();
    let copiedAside = 0;
    for (const [round, bufferBytes] of [0, 4096, MIB, 0, 64 << 10, 4 * MIB, 0, 8192].entries()) {
      const { live } = await tracker.capture({ full: round % 3 === 0, live: { bufferBytes } });
      modes.add(live!.mode);
      copiedAside += live!.pagesCopiedAside;
      const { bytes } = await tracker.readPages(0, pages);
      expectSame(bytes, await witness());
      await tracker.commit();
    }
    expect([...modes]).toEqual([tracking === 'barrier' ? 'barrier' : 'stopped']);
    expect(copiedAside > 0).toBe(tracking === 'barrier');
  });

  it('goes back to an instant captured so, also to one before its memory grew', async () => {
    const { devices } = await tracker.capture({ full: true, live: { bufferBytes: MIB } });
    const { bytes } = await tracker.readPages(0, pages);
    await tracker.commit();
    const isUsed = (image: Uint8Array) => image.subarray(INITIAL_BYTES).some((byte) => byte !== 0);
    expect(isUsed(bytes)).toBe(false);
    const grow = 'big = [bytearray(b"x" * 100000) for _ in range(150)]\nmark = n\nprint(len(big))\n';
    expect(await ask({ kind: 'paste', lines: grow })).toContain('150');
    await tracker.capture({ full: true, live: { bufferBytes: MIB } });
    expect(isUsed((await tracker.readPages(0, pages)).bytes)).toBe(true);
    await tracker.commit();
    expect(await ask({ kind: 'paste', lines: 'print("mark" in globals())\n' })).toContain('True');
    for (let round = 0; round < 2; round++) {
      await tracker.beginRestore({ full: true });
      await tracker.stagePages(0, pages, bytes.slice());
      await tracker.applyRestore(devices);
      expect(await ask({ kind: 'paste', lines: 'print("mark" in globals())\n' })).toContain('False');
      expect(
        await ask({
          kind: 'paste',
          lines: 'x = [bytearray(90000) for _ in range(20)]\nprint(sum(map(len, x)))\n',
        }),
      ).toContain('1800000');
    }
  });
});
