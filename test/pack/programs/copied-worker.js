// The engine's worker as one file that was copied somewhere else: it needs nothing beside it, whatever the effort.
import { openTracker, openVitrineWorker } from 'vitrine';
import { FlatGuest } from 'vitrine/guest/flat';
import { textual } from './memory.mjs';

const guest = new FlatGuest({ regions: [{ name: 'ram', bytes: textual(1 << 20) }] });
const worker = new Worker('/vitrine-worker.js', { type: 'module' });
const vitrine = await openVitrineWorker({ store: { kind: 'memory' }, worker });
const machine = await vitrine.adopt('demo', await openTracker(guest));
const { snapshot } = await machine.save({ effort: 'small' });
guest.run(5_000);
await machine.restore(snapshot.id);
await vitrine.close();
window.reportOutcome({ steps: guest.steps });
