// In one process: saves a machine into a directory, with every codec. Prints the snapshot and what memory was.
import { openTracker, openVitrine } from 'vitrine';
import { FlatGuest } from 'vitrine/guest/flat';
import { openFsStore } from 'vitrine/store/fs';
import { digestOf, textual } from './memory.mjs';

const bytes = textual(1 << 20);
const guest = new FlatGuest({ regions: [{ name: 'ram', bytes }], seed: 3 });
const vitrine = await openVitrine({ store: await openFsStore(process.argv[2]) });
const machine = vitrine.adopt('demo', await openTracker(guest));
await machine.save({ effort: 'fast' });
guest.run(5_000);
const { snapshot } = await machine.save({ effort: 'small', label: 'second' });
const memory = await digestOf(bytes);
const future = guest.run(1_000);
await vitrine.close();
console.log(JSON.stringify({ id: snapshot.id, memory, future }));
