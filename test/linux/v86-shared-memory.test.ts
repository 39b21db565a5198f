// A real kernel in shared memory: boots, is read by another thread while it works, and is restored.

import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { V86Guest } from '../../src/guest/v86/index.ts';
import { difference, paused, restore, type Saved, save, sharedProgram } from '../guest/v86/machines.ts';
import { openLinux, Shell } from './shell.ts';

const SORTED = 'ee9762749fc5338b6c9b0948d14219c7  -';

let guest: V86Guest;
let shell: Shell;
let saved: Saved;

beforeAll(async () => {
  guest = await openLinux({ wasm: await sharedProgram() });
  shell = new Shell(guest);
  await guest.start();
  await shell.untilUp();
  saved = await save(guest);
});
afterAll(() => guest.close());

it('boots to a shell and works, with marks', async () => {
  expect([guest.traits.sharedMemory, guest.traits.tracking]).toEqual([true, 'barrier']);
  expect(await shell.run('uname -sm')).toBe('Linux i686');
  expect(await shell.run('seq 1 3000 | sort -n | md5sum')).toBe(SORTED);
});

it('is read whole by another thread while it works, and works on', async () => {
  const reader = new Worker(READER, { eval: true, workerData: guest.shared });
  try {
    const copied = new Promise<Uint8Array>((resolve, reject) => {
      reader.once('message', resolve);
      reader.once('error', reject);
    });
    const worked = shell.run('for i in $(seq 1 40); do /bin/true; done; seq 1 3000 | sort -n | md5sum');
    const kernel = Buffer.from(await copied);
    expect(kernel.length).toBe(guest.regions[0]!.sizeBytes);
    // The kernel's own text lies where nobody writes.
    expect(kernel.includes('Linux version 6.')).toBe(true);
    expect(await worked).toBe(SORTED);
  } finally {
    await reader.terminate();
  }
});

it('is restored, here and in an instance with private memory, byte for byte', async () => {
  await shell.run('echo changed > /tmp/file');
  await paused(guest, async () => {
    await restore(guest, saved);
    expect(difference(saved, await save(guest))).toBe('none');
  });
  expect(await shell.run('ls /tmp; seq 1 3000 | sort -n | md5sum')).toBe(SORTED);
  const fresh = await openLinux();
  try {
    const other = new Shell(fresh);
    await paused(fresh, async () => {
      await restore(fresh, saved);
      expect(difference(saved, await save(fresh))).toBe('none');
    });
    await fresh.start();
    expect(await other.run('seq 1 3000 | sort -n | md5sum')).toBe(SORTED);
  } finally {
    await fresh.close();
  }
});

const READER = `
  const { parentPort, workerData: { regions: [ram] } } = require('node:worker_threads');
  const copy = new Uint8Array(ram.sizeBytes);
  copy.set(new Uint8Array(ram.buffer, ram.offsetBytes, ram.sizeBytes));
  parentPort.postMessage(copy, [copy.buffer]);
`;
