// The process that fs-kill.test.ts kills: puts objects and moves one ref to each, for ever, and says so on its output
// after every move. Built by the test and started as a plain Node program.

import { isVitrineError } from '../../src/base/error.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { objectOf, REF, refOf, stepOf } from './fs-kill-work.ts';

const [directory, prefix] = process.argv.slice(2);
if (directory === undefined || prefix === undefined) throw new Error('usage: fs-kill-child DIRECTORY PREFIX');

const store = await openFsStore(directory);
for (;;) {
  const held = (await store.get(REF)) ?? null;
  const step = held === null ? 1 : stepOf(held).step + 1;
  const name = `packs/${prefix}-${step}`;
  await Promise.all([store.put(name, objectOf(name)), store.put(`index/${prefix}-${step}`, objectOf(name))]);
  try {
    await store.compareAndSwap(REF, held, refOf(step, name));
  } catch (error) {
    if (!isVitrineError(error, 'store-conflict')) throw error;
    continue;
  }
  process.stdout.write(`${step}\n`);
}
