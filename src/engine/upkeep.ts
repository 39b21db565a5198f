// What is done with snapshots beside saving and restoring, loaded when some of it is first called. Together, because each
// chunk more cuts what the engine loads at once into more pieces, which compress worse.

export { collectGarbage } from './collect.ts';
export { diffInstant, diffSnapshots } from './diff.ts';
export { verifySnapshot } from './verify.ts';
export { verifyByReplay } from './verify-replay.ts';
