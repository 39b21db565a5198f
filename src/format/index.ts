// What the format layer gives to others.

export type { Digest, DigestFunction } from './digest.ts';
export { compareDigests, DIGEST_BYTES, digestKey, digestOfKey, isZeroDigest, ZERO_DIGEST } from './digest.ts';
export type { Effort, EncodedFrame, FrameCodecs, FrameDecoder } from './frame-codecs.ts';
export type {
  Manifest,
  ManifestDevice,
  ManifestMachine,
  ManifestRegion,
  ManifestStatistics,
} from './manifest.ts';
export { decodeManifest, encodeManifest } from './manifest.ts';
export type { ObjectPlace, PackKey } from './object-index.ts';
export { ObjectIndex } from './object-index.ts';
export type {
  FillEntry,
  FrameEntry,
  ObjectEntry,
  ObjectKind,
  PlainEntry,
  Transform,
  XorEntry,
} from './pack-entry.ts';
export { fillContent, objectPayload, PATTERN_BYTES, xorContent } from './pack-entry.ts';
export type { PackIndex } from './pack-index.ts';
export { decodeIndex, encodeIndex } from './pack-index.ts';
export { decodeFrame, footerRange, frameRange, readPackIndex } from './pack-reader.ts';
export type { DeltaBase, FinishedPack, NewObject, PackWriterOptions } from './pack-writer.ts';
export { PackWriter } from './pack-writer.ts';
export { FORMAT_VERSION } from './prefix.ts';
export type { Table } from './table.ts';
export {
  checkNode,
  entriesAt,
  entryAt,
  isZeroEntry,
  levelCount,
  NODE_BYTES,
  nodeCountAt,
  nodeIndexOf,
  pagesPerEntry,
  slotOf,
  tablePageCount,
} from './table.ts';
