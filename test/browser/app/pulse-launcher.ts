// A host whose machines are Pulse on v86 in this process: real machines for a real bridge, where no QEMU is.

import type { OwnedBytes } from '../../../src/base/bytes.ts';
import type { Vitrine } from '../../../src/engine/vitrine.ts';
import type { LaunchedMachine, Launcher } from '../../../src/host/bridge/local-host.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { openScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { openPulse } from '../../guest/v86/machines.ts';

async function launch(engine: Vitrine, name: string, memoryBytes = 4 << 20): Promise<LaunchedMachine> {
  const guest = await openPulse({ memoryBytes });
  const listeners = new Set<(bytes: OwnedBytes) => void>();
  const said: OwnedBytes[] = [];
  guest.onSerial((bytes) => {
    const own = Uint8Array.from(bytes);
    said.push(own);
    for (const listener of listeners) listener(own);
  });
  await guest.start();
  const machine = engine.adopt(name, await openScanTracker(guest, { openKernels: () => loadKernels() }));
  let isPaused = false;
  return {
    name,
    machine,
    get state() {
      return isPaused ? 'paused' : 'running';
    },
    facts: async () => ({ emulator: 'v86' }),
    async pause() {
      if (!isPaused) await guest.pause();
      isPaused = true;
    },
    async resume() {
      if (isPaused) await guest.resume();
      isPaused = false;
    },
    console: {
      write: async (bytes) => guest.sendSerial(bytes),
      listen(onBytes) {
        for (const bytes of said) onBytes(bytes);
        listeners.add(onBytes);
        return () => void listeners.delete(onBytes);
      },
    },
    close: () => machine.close(),
  };
}

export const PULSE_LAUNCHER: Launcher = {
  known: async () => [],
  run: ({ name }, engine) => launch(engine, name),
  async fork(snapshot, name, engine, options) {
    // The page's own Pulse has more memory than those that are started here.
    const { manifest } = await engine.show(snapshot);
    const launched = await launch(engine, name, Number(manifest.machine.config.memoryBytes));
    await launched.machine?.restore(snapshot, options);
    return launched;
  },
};
