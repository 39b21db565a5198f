// What the engine wrote, read by the independent reader, which shares no code with it: all of memory and every device
// record of every snapshot, through deltas, fills and all efforts.

import { it } from 'vitest';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { readSnapshot } from '../reader/read-snapshot.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';
import { pages } from '../support/pages.ts';
import { expectSame } from '../support/same.ts';

it('the independent reader finds every snapshot as it was', async () => {
  const contents = new Map<string, Uint8Array<ArrayBuffer>>();
  const engine = await openTestEngine(openMemoryStore({ contents }));
  const { guest, machine, memory } = await adoptFlat(engine, 'flat', 700);
  for (let page = 0; page < 600; page += 3) memory.set(pages('ABCDabcd..'[page % 10]!, 4096), page * 4096);
  const saved: { id: string; memory: Uint8Array; registers: Uint8Array }[] = [];
  for (const effort of ['fast', 'balanced', 'small', 'fast', 'balanced'] as const) {
    guest.run(300);
    const { snapshot } = await machine.save({ effort });
    await guest.pause();
    saved.push({ id: snapshot.id, memory: memory.slice(), registers: guest.saveDevices()[0]!.bytes });
    await guest.resume();
  }
  const packs = new Map([...contents].filter(([key]) => key.startsWith('packs/')));
  for (const { id, memory: expected, registers } of saved) {
    const { regions, devices } = readSnapshot(contents.get(`manifests/${id}`)!, packs);
    expectSame(regions[0]!.bytes, expected);
    expectSame(devices[0]!.bytes, registers);
  }
});
