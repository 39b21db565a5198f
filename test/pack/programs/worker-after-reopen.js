// In another run of the browser, through the worker: what main-thread.js saved, into a fresh machine.
import { openTracker, openVitrineWorker } from 'vitrine';
import { FlatGuest } from 'vitrine/guest/flat';
import { digestOf } from './memory.mjs';

const bytes = new Uint8Array(1 << 20);
const guest = new FlatGuest({ regions: [{ name: 'ram', bytes }] });
const vitrine = await openVitrineWorker({ store: { kind: 'idb', name: 'main-thread' } });
const machine = await vitrine.adopt('demo', await openTracker(guest));
const snapshot = (await vitrine.log()).at(-1);
await machine.restore(snapshot.id);
const memory = await digestOf(bytes);
const future = guest.run(1_000);
await vitrine.close();
window.reportOutcome({ id: snapshot.id, memory, future });
