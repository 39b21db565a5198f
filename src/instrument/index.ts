// `vitrine/instrument`: a WebAssembly module that knows which pages it wrote, or says so before it writes.

export { INSTRUMENT_EXPORTS } from './added-code.ts';
export { armBarrier, type BeforeWrite, disarmBarrier } from './barrier-hook.ts';
export {
  type Instrumented,
  type InstrumentOptions,
  instrument,
  type MemoryDescription,
  type Shared,
} from './instrument.ts';
export {
  clearMarks,
  guestBytesOf,
  isDamaged,
  isMarked,
  isTouched,
  type MapLayout,
  marksIn,
  touchPage,
} from './map-layout.ts';
export { mapOf } from './map-section.ts';
export { type RuntimeInstrumenter, runtimeInstrumenter } from './runtime-modules.ts';
