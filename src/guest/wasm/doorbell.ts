// A doorbell for a WebAssembly program: two functions for its imports. While one of its calls is under way, locals and return
// addresses lie on the engine's stack, where nobody can read them: so a ring is noted, and its instant is the one when the
// last call has returned to the host. The answer is read in a later call.
//
//   const { desk, imports } = wasmDoorbell();
//   const { exports, caught } = await instantiateCaught(module, { vitrine: imports });
//   const guest = new WasmInstanceGuest(caught, { program: 'mine', doorbell: desk });
//   await guest.enter(() => exports.step());    // waits while a ring is answered; a plain call throws `wrong-state` then

import { type Clock, SYSTEM_CLOCK } from '../../base/clock.ts';
import { DoorbellDesk } from '../doorbell.ts';

/** What the program imports; words as in `../doorbell.ts`. */
export interface WasmDoorbellImports extends WebAssembly.ModuleImports {
  /** Asks. Returns 1 when it was noted, 0 when it was refused or nobody serves: `answer` says which. */
  readonly ring: (word: number) => number;
  /** What came of the last ring. */
  readonly answer: () => number;
}

export interface WasmDoorbell {
  /** To be handed to the guest. */
  readonly desk: DoorbellDesk;
  readonly imports: WasmDoorbellImports;
}

/** A doorbell, to be made before the program is instantiated. */
export function wasmDoorbell(clock: Clock = SYSTEM_CLOCK): WasmDoorbell {
  const desk = new DoorbellDesk('the imported functions ring and answer', 'the next return', clock);
  return { desk, imports: { ring: (word) => (desk.ring(word) ? 1 : 0), answer: () => desk.word } };
}
