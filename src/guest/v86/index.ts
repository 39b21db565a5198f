// The v86 guest, as embedders import it.

export { decodeInputLog, encodeInputLog, type InputLog } from '../input-log.ts';
export { V86_DOORBELL_PORT } from './doorbell.ts';
export { type LinuxImages, linuxConfig } from './linux.ts';
export {
  type DiskSource,
  type ImageSource,
  type OpenV86Options,
  openV86,
  type V86Config,
} from './open-v86.ts';
export { pulseConfig } from './pulse-config.ts';
export {
  InputRecording,
  type RecordableGuest,
  type RecordOptions,
  Replayer,
  recordInput,
  replayInput,
} from './replay-log.ts';
export type { V86Replay } from './replay-machine.ts';
export {
  type GraphicsFrame,
  linesOf,
  type Screen,
  type ScreenFrame,
  type TextFrame,
} from './screen-frame.ts';
export { type CompileOptions, compileV86, trackedWasmFn, type V86Program } from './tracked-wasm.ts';
export { type AdoptOptions, adoptV86, V86Guest } from './v86-guest.ts';
export { V86_VERSION } from './v86-internals.ts';
export { V86Steps } from './v86-steps.ts';
