// In another process: restores the last snapshot of the directory into a fresh machine. Prints what it then holds and
// does next.
import { openTracker, openVitrine } from 'vitrine';
import { FlatGuest } from 'vitrine/guest/flat';
import { openFsStore } from 'vitrine/store/fs';
import { digestOf } from './memory.mjs';

const bytes = new Uint8Array(1 << 20);
const guest = new FlatGuest({ regions: [{ name: 'ram', bytes }] });
const vitrine = await openVitrine({ store: await openFsStore(process.argv[2]) });
const machine = vitrine.adopt('demo', await openTracker(guest));
const snapshot = (await vitrine.log()).at(-1);
await machine.restore(snapshot.id);
const { damaged } = await vitrine.verify(snapshot.id);
const memory = await digestOf(bytes);
const future = guest.run(1_000);
await vitrine.close();
console.log(JSON.stringify({ id: snapshot.id, memory, future, damaged }));
