// `vitrine/instrument`: a WebAssembly module that knows which pages it wrote.

export {
  INSTRUMENT_EXPORTS,
  type Instrumented,
  type InstrumentOptions,
  instrument,
} from './instrument.ts';
export { clearMarks, guestBytesOf, isDamaged, type MapLayout, marksIn } from './map-layout.ts';
