// Migration streams of QEMU, read and written.

export type { ParseOptions } from './parse-stream.ts';
export { parseStream } from './parse-stream.ts';
export type { PostcopyContent, SourceMessage } from './postcopy.ts';
export {
  LOADED_PING,
  pagesPart,
  postcopyClosing,
  postcopyOpening,
  SourceMessages,
} from './postcopy.ts';
export type { DeviceSection, PageListener, ParsedStream, RamBlock, StreamPage } from './stream.ts';
export type { StreamContent } from './synthesize.ts';
export { streamChunks, synthesizeStream } from './synthesize.ts';
