// Every entry point by its types: this file is compiled in a blank project and never run.
import {
  type Guest,
  isVitrineError,
  openTracker,
  openVitrine,
  openVitrineWorker,
  type Store,
  startEngine,
  VitrineError,
} from 'vitrine';
import { type BridgeHost, connectBridge, fullGrant, RemoteStore, serveSession, sync } from 'vitrine/bridge';
import { type BoytaceanLoader, openBoytacean } from 'vitrine/guest/boytacean';
import { cooperatingGuest } from 'vitrine/guest/cooperating';
import { FlatGuest } from 'vitrine/guest/flat';
import { type LoadMicroPython, openMicroPython } from 'vitrine/guest/micropython';
import { PULSE, pulseRom } from 'vitrine/guest/pulse';
import { openV86, pulseConfig, type V86Guest } from 'vitrine/guest/v86';
import { catchInstance, WasmInstanceGuest } from 'vitrine/guest/wasm';
import { openFsStore } from 'vitrine/store/fs';
import { openIdbStore } from 'vitrine/store/idb';
import { openMemoryStore } from 'vitrine/store/memory';
import { guestConformance, storeContract } from 'vitrine/testing';

export async function use(worker: Worker): Promise<readonly string[]> {
  const guest: Guest = new FlatGuest({ regions: [{ name: 'ram', bytes: new Uint8Array(4096) }] });
  const store: Store = openMemoryStore();
  const vitrine = await openVitrine({ store });
  const machine = vitrine.adopt('demo', await openTracker(guest));
  const { snapshot, pauseMs } = await machine.save({ label: 'x', effort: 'balanced' });
  const remote = await openVitrineWorker({ store: { kind: 'idb', name: 'x' } });
  const other = await startEngine(worker, { kind: 'memory' });
  const client = await other.adopt('demo', await openTracker(guest));
  const report = await client.restore(snapshot.id, { onProgress: ({ phase }) => phase === 'read' });
  try {
    await (await openIdbStore('x')).close();
  } catch (error) {
    if (isVitrineError(error, 'store-closed')) return [error.code];
    throw new VitrineError('internal', { pauseMs, pagesWritten: report.pagesWritten }, { cause: error });
  }
  return [remote.info.kernels, typeof guestConformance, typeof storeContract];
}

export async function openAll(loadMicroPython: LoadMicroPython): Promise<readonly Guest[]> {
  const pulse: V86Guest = await openV86(pulseConfig({ url: 'v86.wasm' }));
  const python = await openMicroPython({ loadMicroPython, wasmUrl: 'micropython.wasm' });
  const { traits } = await openFsStore('snapshots');
  const { guest } = cooperatingGuest({ machine: python.machine, regions: [], devices: {} });
  const sizes = [
    guest.regions.length,
    PULSE.magic,
    pulseRom().length,
    traits.maxObjectBytes,
    typeof catchInstance,
  ];
  return sizes.length > 0 && python instanceof WasmInstanceGuest ? [pulse, python] : [];
}

export async function play(loader: BoytaceanLoader, bytes: ArrayBuffer): Promise<number> {
  const game = await openBoytacean({ loader, module: new Uint8Array(bytes), rom: new Uint8Array(32_768) });
  game.press('start');
  return game.frame() ? game.picture.length : 0;
}

// @ts-expect-error -- a code that is not in the table is refused, so the types are there and not `any`.
export const wrong = new VitrineError('no-such-code');

export async function operate(host: BridgeHost): Promise<number> {
  const bridge = await connectBridge('ws://127.0.0.1:7333/bridge', { ticket: async () => 'ticket' });
  const { bytes } = await bridge.machine('web').peek([{ address: 0x1000, lengthBytes: 16 }]);
  const report = await sync(bridge, await openVitrine({ store: new RemoteStore(bridge) }), '3f');
  const channel = { bufferedBytes: 0, onMessage: null, onClose: null, onDrain: null, send() {}, close() {} };
  return serveSession(channel, host, fullGrant('me')).requestCount + bytes.length + report.objectsSent;
}
