// In a page, on its one thread: the store is opened here, and the snapshot is found again by the next program.
import { openTracker, openVitrine, openWebLock } from 'vitrine';
import { FlatGuest } from 'vitrine/guest/flat';
import { openIdbStore } from 'vitrine/store/idb';
import { digestOf, textual } from './memory.mjs';

const bytes = textual(1 << 20);
const guest = new FlatGuest({ regions: [{ name: 'ram', bytes }], seed: 3 });
const store = await openIdbStore('main-thread');
const vitrine = await openVitrine({ store, lock: openWebLock('main-thread') });
const machine = vitrine.adopt('demo', await openTracker(guest));
guest.run(5_000);
const { snapshot } = await machine.save({ effort: 'small' });
const memory = await digestOf(bytes);
const future = guest.run(1_000);
await vitrine.close();
window.reportOutcome({ id: snapshot.id, memory, future });
