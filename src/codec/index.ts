// What the codec layer gives to others.

export type { Effort } from '../format/frame-codecs.ts';
export type { Codec, Codecs } from './codec.ts';
export { loadCodecs } from './load.ts';
export { codecsOf } from './registry.ts';
