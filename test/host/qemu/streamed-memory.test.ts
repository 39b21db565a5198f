// What of a stream is told: pages of RAM as those of the guest's regions, but for those that are known when they come.

import { expect, it } from 'vitest';
import { StreamedMemory } from '../../../src/host/qemu/streamed-memory.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';

const PAGE = 4096;
const RANGES = [
  { guestAddress: 0, offsetBytes: 0, sizeBytes: 4 * PAGE },
  { guestAddress: 2 ** 32, offsetBytes: 4 * PAGE, sizeBytes: 2 * PAGE },
];
const RAM = { name: 'pc.ram', usedBytes: 6 * PAGE };
const VIDEO = { name: 'vga.vram', usedBytes: 2 * PAGE };

it('tells pages of RAM by region, and keeps other blocks whole', () => {
  const told: string[] = [];
  const memory = new StreamedMemory(
    RANGES,
    new Map([['vga.vram', 2 * PAGE]]),
    (region, page, bytes, isZero) => {
      told.push(`${region}:${page}=${bytes[0]}${isZero ? ' zeros' : ''}`);
    },
  );
  memory.onBlocks([VIDEO, RAM]);
  void memory.onPage(1, 3 * PAGE, new Uint8Array(PAGE).fill(7));
  void memory.onPage(1, 5 * PAGE, 0);
  void memory.onPage(0, PAGE, 9);
  expect(told).toEqual(['0:3=7', '1:1=0 zeros']);
  expect(memory.blocks.get('vga.vram')!.indexOf(9)).toBe(PAGE);
  memory.requireRam();
});

it('leaves out what is known when it comes, and tells it when it comes again and is not', () => {
  const written = new Set(['0:1']);
  const told: string[] = [];
  const memory = new StreamedMemory(
    RANGES,
    new Map(),
    (region, page, bytes) => void told.push(`${region}:${page}=${bytes[0]}`),
    (region, page) => !written.has(`${region}:${page}`),
  );
  memory.onBlocks([RAM]);
  const send = (value: number) => {
    for (let page = 0; page < 6; page++) void memory.onPage(0, page * PAGE, value);
  };
  send(1);
  expect(told).toEqual(['0:1=1']);
  // Written since: by the time that it comes again it is told as such.
  written.add('1:0');
  send(2);
  expect(told).toEqual(['0:1=1', '0:1=2', '1:0=2']);
});

it('refuses memory that the machine did not have', async () => {
  const memory = new StreamedMemory(RANGES, new Map(), () => {});
  expect(await codeOf(async () => memory.onBlocks([RAM, VIDEO]))).toBe('guest-failed');
  expect(await codeOf(async () => new StreamedMemory(RANGES, new Map(), () => {}).requireRam())).toBe(
    'guest-failed',
  );
});
