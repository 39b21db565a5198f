// What the page runs on, in plain words: kernels, isolation, store, room. People put it into bug reports.

import type { EngineClient } from '../rpc/engine-client.ts';
import { element } from './dom.ts';
import type { OpenMachine } from './open-machine.ts';
import { formatBytes } from './quantity.ts';
import type { Workspace } from './workspace.ts';

const DURABILITY = {
  none: 'kept in memory alone',
  process: 'survives a closed tab',
  power: 'survives a power cut',
} as const;

export class PlatformBar {
  readonly element = element('p', {
    className: 'platform',
    attributes: { 'aria-label': 'What this runs on' },
  });
  readonly #room = element('span', { className: 'fact' });
  readonly #memory = element('span', { className: 'fact' });

  constructor(workspace: Workspace) {
    workspace.engine.watch((engine) => this.#show(engine));
    workspace.snapshots.watch(() => void this.#measure());
    workspace.current.watch((machine) => this.#showMemory(machine));
  }

  #show(engine: EngineClient | null): void {
    if (engine === null) {
      this.element.replaceChildren(fact('engine', 'starting …'));
      return;
    }
    const { kernels, store } = engine.info;
    const isolated = engine.info.crossOriginIsolated;
    this.element.replaceChildren(
      fact('kernels', kernels, 'WebAssembly with SIMD, plain WebAssembly, or plain TypeScript'),
      isolated
        ? fact('mode', 'isolated', 'Cross-origin isolated: memory can be shared between workers')
        : fact(
            'mode',
            'copy',
            'Not cross-origin isolated: everything works, memory is copied between workers',
          ),
      this.#memory,
      fact('store', `${store.kind}, ${DURABILITY[store.durability]}`),
      this.#room,
    );
  }

  /** Whether the machine on show can be read while it runs, and if not, why. */
  #showMemory(machine: OpenMachine | null): void {
    if (machine === null) {
      this.#memory.replaceChildren();
      return;
    }
    const { sharedMemory, sharedMemoryReason } = machine.guest.description.traits;
    this.#memory.replaceChildren('memory ', element('b', {}, sharedMemory ? 'shared' : 'private'));
    this.#memory.title = sharedMemory
      ? `Other workers read the memory of ${machine.name} while it runs`
      : `${machine.name} rests while its memory is read: ${sharedMemoryReason ?? 'this guest does not share it'}`;
  }

  async #measure(): Promise<void> {
    // Absent where the page is not a secure context.
    const storage = navigator.storage as StorageManager | undefined;
    if (storage?.estimate === undefined) return;
    const [{ usage = 0, quota = 0 }, persisted] = await Promise.all([
      storage.estimate(),
      storage.persisted(),
    ]);
    const kept = persisted ? 'kept' : 'may be evicted';
    this.#room.replaceChildren(
      element('span', {}, 'room '),
      element('b', {}, `${formatBytes(usage)} of ${formatBytes(quota)}, ${kept}`),
    );
    this.#room.title = persisted
      ? 'The browser keeps this storage'
      : 'The browser may remove this storage when the disk is full';
  }
}

function fact(name: string, value: string, title = ''): HTMLElement {
  return element('span', { className: 'fact', title }, `${name} `, element('b', {}, value));
}
