// In a page: an engine is opened over a store of the browser, and saves a machine once.
//
// Nothing is awaited at the top level: a bundler that finds such a module puts what it shares with chunks that come later
// into chunks beside it, which are 3 KiB more.
import { openTracker, openVitrine } from 'vitrine';
import { openIdbStore } from 'vitrine/store/idb';

async function saveOnce() {
  // A chunk of its own: the guest is not what is weighed.
  const { FlatGuest } = await import('vitrine/guest/flat');
  const bytes = new Uint8Array(1 << 20).map((_, at) => at % 251);
  const guest = new FlatGuest({ regions: [{ name: 'ram', bytes }] });
  const vitrine = await openVitrine({ store: await openIdbStore('first-save') });
  const machine = vitrine.adopt('demo', await openTracker(guest));
  const { snapshot } = await machine.save();
  window.reportOutcome({ id: snapshot.id });
}

saveOnce();
