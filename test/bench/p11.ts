// P11: how costs grow. What changed is what an incremental save should cost: not RAM, not history. Then threads, a crowd
// of clients, and a large machine.
//
// All of it takes five minutes at most of two cores: each part has its time and does less in it where the host is slow, and the
// large machine is as large as the rest of the time allows. What was done is in the names and notes.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Machine } from '../../src/engine/machine.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import { pulseRom } from '../../src/guest/pulse/pulse.ts';
import { ThreadEncoder } from '../../src/host/pages/thread-encoder.ts';
import { pageThreads } from '../../src/host/pages/thread-pool.ts';
import { openQemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { openTracker, openVitrine } from '../../src/open-vitrine.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { differingMebibytes, fillRam, missingRoom } from '../support/large-ram.ts';
import { crowdOfClients } from './clients.ts';
import { newestQemu } from './host-linux.ts';
import { type BenchResult, type BenchRow, median, seeded } from './row.ts';

const MIB = 2 ** 20;
const PAGE = 4096;
const ROUNDS = 7;
/** Of a comparison, where the host is slow. */
const FEWEST_ROUNDS = 3;
/** For all of it, and of that for each comparison. */
const ROW_MS = 280_000;
const COMPARE_MS = 20_000;
/** Proportional, give or take what caches do. */
const GOAL = 1.5;
const SNAPSHOTS = 10_000;
/** The history ends here where the machine is busy; the note says with how many. */
const HISTORY_MS = 30_000;
const HISTORY_ROUNDS = 60;
/** Of the machine that is saved as a whole, with threads and without. */
const FULL_MIB = 64;
/**
 * What is done with a large machine takes as long as so many full saves of it: filled, saved, changed, saved live, restored twice,
 * compared three times.
 */
const LARGE_SAVES = 8;

export async function run(): Promise<BenchRow> {
  const results: BenchResult[] = [];
  const notes: string[] = [];
  const endMs = performance.now() + ROW_MS;
  const ram = await compareSaves({ ramBytes: 1024 * MIB, pages: 1000 }, { ramBytes: 64 * MIB, pages: 1000 });
  results.push(atMost('1,000 pages together changed: 1 GiB of RAM vs 64 MiB, ms', ...ram));
  const spread = { ramBytes: 1024 * MIB, pages: 1000, isSpread: true };
  const [apart, together] = await compareSaves(spread, { ramBytes: 1024 * MIB, pages: 1000 });
  results.push({
    ...{ name: '1,000 pages of 1 GiB: apart vs together, ms', value: apart / together, unit: 'x' },
    ...{ better: 'lower', ours: apart, peer: together },
  });
  const page = await compareSaves(
    { ramBytes: 512 * MIB, pages: 100_000 },
    { ramBytes: 512 * MIB, pages: 1000 },
  );
  results.push(atMost('a changed page: of 100,000 vs of 1,000, ms', page[0] / 100_000, page[1] / 1000));
  const history = await historyOf();
  results.push(atMost(`save ${history.count} vs the first of a fresh store, ms`, history.old, history.fresh));
  const content = noisyBytes(FULL_MIB * MIB);
  const one = await fullSave(content);
  const threads = await fullSave(content, new ThreadEncoder());
  results.push({
    ...{
      name: `full save of ${FULL_MIB} MiB, ${pageThreads().size} threads vs none`,
      value: one / threads,
      unit: 'x',
    },
    ...{ better: 'higher', ours: threads, peer: one },
  });
  notes.push(
    'The guests of the first five mark what they write; a QEMU machine is read as a whole, below. Pages apart cost a node of the table each.',
  );
  results.push(...(await crowdOfClients()));
  await measureLarge(results, notes, { endMs, mibPerMs: FULL_MIB / threads });
  await pageThreads().close();
  return { row: 'P11', results, notes };
}

interface Change {
  readonly ramBytes: number;
  readonly pages: number;
  /** All over RAM, in place of one beside the other. */
  readonly isSpread?: boolean;
}

/** The medians of incremental saves of two machines that take turns, in milliseconds. */
async function compareSaves(...changes: [Change, Change]): Promise<[number, number]> {
  const vitrine = await openVitrine({ store: openMemoryStore() });
  const subjects = [];
  for (const change of changes) {
    subjects.push({ change, times: [] as number[], ...(await flatMachine(vitrine, change.ramBytes)) });
  }
  const endMs = performance.now() + COMPARE_MS;
  for (let round = 0; round <= ROUNDS; round++) {
    if (round > FEWEST_ROUNDS && performance.now() > endMs) break;
    for (const [index, { change, times, guest, machine }] of subjects.entries()) {
      // Of content of its own: one that the other has just saved would be known.
      writePages(guest, change, 1 + round * subjects.length + index);
      const startMs = performance.now();
      await machine.save();
      if (round > 0) times.push(performance.now() - startMs);
    }
  }
  for (const { machine } of subjects) await machine.close();
  await vitrine.close();
  return [median(subjects[0]!.times), median(subjects[1]!.times)];
}

async function flatMachine(vitrine: Awaited<ReturnType<typeof openVitrine>>, ramBytes: number) {
  const bytes = new Uint8Array(ramBytes);
  const guest = new FlatGuest({ regions: [{ name: 'ram', bytes }], tracking: 'marks' });
  const machine: Machine = vitrine.adopt('machine', await openTracker(guest));
  return { guest, machine, bytes };
}

/** A line of 64 bytes in each of so many pages. */
function writePages(guest: FlatGuest, { ramBytes, pages, isSpread = false }: Change, seed: number): void {
  const random = seeded(seed);
  const line = new Uint32Array(16);
  const step = isSpread ? Math.floor(ramBytes / PAGE / pages) : 1;
  for (let index = 0; index < pages; index++) {
    for (let word = 0; word < line.length; word++) line[word] = random();
    guest.write(0, index * step * PAGE, new Uint8Array(line.buffer));
  }
}

/** Saves of ten pages each, on and on; then some more of them take turns with those of a store that holds nothing yet. */
async function historyOf(): Promise<{ old: number; fresh: number; count: number }> {
  const open = async () => {
    const vitrine = await openVitrine({ store: openMemoryStore() });
    const { guest, machine } = await flatMachine(vitrine, 16 * MIB);
    let count = 0;
    const save = async (): Promise<number> => {
      writePages(guest, { ramBytes: 16 * MIB, pages: 10 }, ++count);
      const startMs = performance.now();
      await machine.save();
      return performance.now() - startMs;
    };
    const close = async (): Promise<void> => {
      await machine.close();
      await vitrine.close();
    };
    return { save, close };
  };
  const [old, fresh] = [await open(), await open()];
  const endMs = performance.now() + HISTORY_MS;
  let count = 0;
  for (; count < SNAPSHOTS && performance.now() < endMs; count++) await old.save();
  const times = { old: [] as number[], fresh: [] as number[] };
  for (let round = 0; round < HISTORY_ROUNDS; round++) {
    times.old.push(await old.save());
    times.fresh.push(await fresh.save());
  }
  await old.close();
  await fresh.close();
  return { old: median(times.old), fresh: median(times.fresh), count };
}

/** A quarter of each page is noise. */
function noisyBytes(lengthBytes: number): Uint8Array {
  const random = seeded(1);
  const words = new Uint32Array(lengthBytes / 4);
  for (let at = 0; at < words.length; at++) words[at] = (at & 1023) < 256 ? random() : at & 1023;
  return new Uint8Array(words.buffer);
}

async function fullSave(content: Uint8Array, encoder?: ThreadEncoder): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 3; round++) {
    const vitrine = await openVitrine({
      store: openMemoryStore(),
      ...(encoder === undefined ? {} : { encoder }),
    });
    const { guest, machine, bytes } = await flatMachine(vitrine, content.length);
    bytes.set(content);
    writePages(guest, { ramBytes: content.length, pages: 1 }, 1);
    const startMs = performance.now();
    await machine.save({ full: true });
    if (round > 0) times.push(performance.now() - startMs);
    await machine.close();
    await vitrine.close();
  }
  return median(times);
}

interface LargeTime {
  readonly endMs: number;
  /** How fast a full save was before. */
  readonly mibPerMs: number;
}

/** 4 GiB of QEMU, or what fits into memory and time. */
async function measureLarge(
  results: BenchResult[],
  notes: string[],
  { endMs, mibPerMs }: LargeTime,
): Promise<void> {
  const qemu = newestQemu();
  const leftMs = endMs - performance.now();
  const gibibytes = [4, 3, 2, 1.25].find(
    (size) =>
      missingRoom(size * 1024 * MIB) === undefined && (LARGE_SAVES * size * 1024) / mibPerMs <= leftMs,
  );
  if (qemu === undefined || gibibytes === undefined) {
    notes.push('No large machine: it takes QEMU, 3 GiB of free memory, and a host that is less busy.');
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'vitrine-p11-'));
  const bios = join(folder, 'pulse.bin');
  writeFileSync(bios, pulseRom());
  const memoryBytes = gibibytes * 1024 * MIB;
  const profile = { program: qemu.program, bios, cpu: 'qemu64,-apic', memoryBytes };
  const vitrine = await openVitrine({
    store: await openFsStore(join(folder, 'store')),
    encoder: new ThreadEncoder(),
  });
  const name = (what: string): string => `${gibibytes} GiB, every page another: ${what}`;
  const push = (what: string, value: number, unit: string): void => {
    results.push({ name: name(what), value, unit, better: 'lower', ours: value });
  };
  try {
    const machine = await openQemuMachine('large', profile, vitrine);
    await machine.start();
    await fillRam(machine, 1);
    const before = process.memoryUsage().rss;
    let most = before;
    const onProgress = (): void => {
      most = Math.max(most, process.memoryUsage().rss);
    };
    const full = await machine.machine.save({ onProgress });
    push('full save', full.totalMs, 'ms');
    push('full save, pause', full.pauseMs, 'ms');
    await fillRam(machine, 2, (mib) => mib % 100 === 50);
    const changed = await machine.machine.save({ onProgress });
    push('1 % changed', changed.totalMs, 'ms');
    push('1 % changed, pause', changed.pauseMs, 'ms');
    await fillRam(machine, 3, (mib) => mib % 100 === 50);
    const live = await machine.machine.save({ live: {}, onProgress });
    push('1 % changed again, live', live.totalMs, 'ms');
    push('1 % changed again, live, pause', live.pauseMs, 'ms');
    if (live.live?.mode !== 'stream') notes.push(`Saved live it was stopped: ${live.live?.reason}.`);
    const inPlace = await machine.machine.restore(full.snapshot.id, { onProgress });
    push('1 % restored in place', inPlace.totalMs, 'ms');
    if (differingMebibytes(machine, 1) > 0) throw new Error('the restored machine differs');
    await machine.close();
    const startMs = performance.now();
    const again = await openQemuMachine('large', profile, vitrine, { snapshot: full.snapshot.id });
    push('restored in a new process', performance.now() - startMs, 'ms');
    onProgress();
    if (differingMebibytes(again, 1) > 0) throw new Error('the restored machine differs');
    await again.close();
    push('the bridge grew by', (most - before) / MIB, 'MiB');
    notes.push(`QEMU ${qemu.version} without KVM.`);
  } finally {
    await vitrine.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function atMost(name: string, ours: number, peer: number): BenchResult {
  return { name, value: ours / peer, unit: 'x', better: 'lower', goal: GOAL, ours, peer };
}
