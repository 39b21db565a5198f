// A host and a client of it in one process, from the package alone: a machine is saved, peeked and synced over a channel.
import { openTracker, openVitrine } from 'vitrine';
import { connectBridge, fullGrant, Jobs, serveSession, sync } from 'vitrine/bridge';
import { FlatGuest } from 'vitrine/guest/flat';
import { openMemoryStore } from 'vitrine/store/memory';

/** Two ends of a channel in memory. */
function channelPair() {
  const end = () => ({
    bufferedBytes: 0,
    onMessage: null,
    onClose: null,
    onDrain: null,
    send(message) {
      setImmediate(() => this.peer.onMessage?.(message));
    },
    close() {
      setImmediate(() => {
        this.onClose?.();
        this.peer.onClose?.();
      });
    },
  });
  const [a, b] = [end(), end()];
  a.peer = b;
  b.peer = a;
  return [a, b];
}

const memory = new Uint8Array(64 * 4096).map((_, index) => index);
const guest = new FlatGuest({ regions: [{ name: 'ram', bytes: memory, guestAddress: 0 }] });
const store = openMemoryStore();
const engine = await openVitrine({ store });
const machine = { name: 'flat', state: 'running', machine: engine.adopt('flat', await openTracker(guest)) };
const host = {
  software: { name: 'example', version: '1' },
  engine,
  store,
  jobs: new Jobs(),
  machines: () => [machine],
  machine: (name) => (name === 'flat' ? machine : undefined),
};
const bridge = await connectBridge(async () => {
  const [near, far] = channelPair();
  serveSession(far, host, fullGrant('me'));
  return near;
});
const { snapshot } = await bridge.machine('flat').save({ label: 'from afar' });
const { bytes } = await bridge.machine('flat').peek([{ address: 4094, lengthBytes: 4 }]);
const local = await openVitrine({ store: openMemoryStore() });
await sync(bridge, local, snapshot.id);
const { damaged } = await local.verify(snapshot.id);
bridge.close();
console.log(
  JSON.stringify({ label: snapshot.label, bytes: [...bytes[0]], damaged, state: bridge.state.kind }),
);
