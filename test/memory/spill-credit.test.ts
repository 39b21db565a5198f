// Credit for pages on their way from a guest's thread to its saver: spent, given back, and waited for without end by nobody.

import { Worker } from 'node:worker_threads';
import { expect, it, vi } from 'vitest';
import { SpillCredit } from '../../src/memory/spill-credit.ts';

it('lets pages through at once while the saver keeps up', () => {
  const guest = new SpillCredit();
  const saver = new SpillCredit(guest.buffer);
  for (let page = 0; page < 1000; page++) {
    guest.spend();
    saver.giveBack();
  }
  expect(new Int32Array(guest.buffer)[0]).toBe(1000);
});

it('waits for a saver that is behind, and goes on when that moves', async () => {
  const guest = new SpillCredit();
  // Sees the guest wait, and takes one page.
  const saver = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads');
     const taken = new Int32Array(workerData);
     parentPort.postMessage('there');
     let woken = 0;
     while (woken === 0) { Atomics.store(taken, 0, taken[0] + 1); woken = Atomics.notify(taken, 0); }
     parentPort.postMessage(woken);`,
    { eval: true, workerData: guest.buffer },
  );
  const messages: unknown[] = [];
  const ended = new Promise<void>((resolve) => saver.on('exit', () => resolve()));
  const there = new Promise<void>((resolve) =>
    saver.on('message', (message) => {
      messages.push(message);
      resolve();
    }),
  );
  await there;
  // Far more than the saver takes: each of these waits for it or, when it has stopped moving, goes on by itself.
  while (messages.length < 2) {
    for (let page = 0; page < 64; page++) guest.spend();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ended;
  expect(messages).toEqual(['there', 1]);
});

it('waits in vain once, and no more until the saver moves or has left', () => {
  const guest = new SpillCredit();
  const saver = new SpillCredit(guest.buffer);
  const waits = vi.spyOn(Atomics, 'wait');
  for (let page = 0; page < 200; page++) guest.spend();
  expect(waits).toHaveBeenCalledTimes(1);
  saver.giveBack();
  for (let page = 0; page < 200; page++) guest.spend();
  expect(waits).toHaveBeenCalledTimes(2);
  saver.giveBack();
  saver.leaveAsSaver();
  for (let page = 0; page < 200; page++) guest.spend();
  expect(waits).toHaveBeenCalledTimes(2);
  expect([guest.hasSaverLeft, saver.hasGuestLeft]).toEqual([true, false]);
  guest.leaveAsGuest();
  expect(saver.hasGuestLeft).toBe(true);
  waits.mockRestore();
});
