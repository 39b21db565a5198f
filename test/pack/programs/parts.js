// In a page: every verb whose code is loaded when it is first called, each with what came of it, and then a restore.
import { openTracker, openVitrine } from 'vitrine';
import { FlatGuest } from 'vitrine/guest/flat';
import { openMemoryStore } from 'vitrine/store/memory';
import { digestOf, textual } from './memory.mjs';

const bytes = textual(1 << 20);
const guest = new FlatGuest({ regions: [{ name: 'ram', bytes }], seed: 3, tracking: 'barrier' });
const vitrine = await openVitrine({ store: openMemoryStore() });
const machine = vitrine.adopt('demo', await openTracker(guest));
const { snapshot } = await machine.save();
const memory = await digestOf(bytes);
guest.run(5_000);

const outcome = {};
for (const [verb, call] of Object.entries({
  checkpoint: () => machine.checkpoint(),
  reset: () => machine.reset(),
  live: async () => (await machine.save({ live: {} })).live.mode,
  diff: () => machine.diff(snapshot.id),
  verify: () => vitrine.verify(snapshot.id),
  collect: () => vitrine.collect(),
  doorbell: async () => (await machine.serveDoorbell()).stop(),
})) {
  try {
    const result = await call();
    outcome[verb] = typeof result === 'string' ? result : 'done';
  } catch (error) {
    outcome[verb] = error.code ?? String(error);
  }
}
guest.run(1_000);
const { snapshot: last } = await machine.save();
await machine.restore(snapshot.id);
const isRestored = (await digestOf(bytes)) === memory;
await vitrine.close();
window.reportOutcome({ ...outcome, isSaved: last.id !== snapshot.id, isRestored });
