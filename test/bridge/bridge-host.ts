// A host for tests: real engine, flat guests, any store. What a test wants to go otherwise it overrides.

import type { OwnedBytes } from '../../src/base/bytes.ts';
import { VitrineError } from '../../src/base/error.ts';
import type { BridgeHost, HostMachine } from '../../src/bridge/host.ts';
import { Jobs } from '../../src/bridge/jobs.ts';
import type { Machine } from '../../src/engine/machine.ts';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import type { FlatGuest } from '../../src/guest/flat.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import type { Store } from '../../src/store/store.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';

export interface FlatHostMachine extends HostMachine {
  readonly guest: FlatGuest;
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly machine: Machine;
}

export interface FlatHost extends BridgeHost {
  readonly engine: Vitrine;
  readonly flat: Map<string, FlatHostMachine>;
  add(name: string, pages: number): Promise<FlatHostMachine>;
}

/** A host of flat guests. */
export async function openFlatHost(
  machines: Readonly<Record<string, number>> = { alpha: 16 },
  options: { readonly store?: Store; readonly jobs?: Jobs } = {},
): Promise<FlatHost> {
  const store = options.store ?? openMemoryStore();
  const engine = await openTestEngine(store);
  const flat = new Map<string, FlatHostMachine>();
  const add = async (name: string, pages: number): Promise<FlatHostMachine> => {
    const machine = await flatMachine(engine, name, pages);
    flat.set(name, machine);
    return machine;
  };
  for (const [name, pages] of Object.entries(machines)) await add(name, pages);
  return {
    software: { name: 'test-host', version: '1.2.3' },
    engine,
    store,
    jobs: options.jobs ?? new Jobs(),
    flat,
    add,
    machines: () => [...flat.values()],
    machine: (name) => flat.get(name),
    async fork(snapshot, name, work) {
      const { memoryBytes } = await engine.show(snapshot);
      const machine = await add(name, memoryBytes / 4096);
      await machine.machine.restore(snapshot, work);
      return machine;
    },
  };
}

async function flatMachine(engine: Vitrine, name: string, pages: number): Promise<FlatHostMachine> {
  const { guest, machine, memory } = await adoptFlat(engine, name, pages);
  let isPaused = false;
  const listeners = new Set<(bytes: OwnedBytes) => void>();
  return {
    name,
    guest,
    machine,
    memory,
    get state() {
      return isPaused ? 'paused' : 'running';
    },
    facts: async () => ({ steps: guest.steps }),
    async pause() {
      if (!isPaused) await guest.pause();
      isPaused = true;
    },
    async resume() {
      if (isPaused) await guest.resume();
      isPaused = false;
    },
    async poke(range, bytes) {
      if ('region' in range && range.region !== 'ram')
        throw new VitrineError('span-out-of-range', { region: range.region });
      guest.write(0, 'region' in range ? range.offsetBytes : range.address, bytes);
    },
    // Says back what it hears, in capitals.
    console: {
      async write(bytes) {
        const answer = new TextEncoder().encode(new TextDecoder().decode(bytes).toUpperCase());
        for (const listener of listeners) listener(answer);
      },
      listen(onBytes) {
        listeners.add(onBytes);
        onBytes(new TextEncoder().encode('ready\n'));
        return () => void listeners.delete(onBytes);
      },
    },
  };
}
