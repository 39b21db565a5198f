// What the codec layer gives to others.

export type { Effort } from '../format/frame-codecs.ts';
export type { Codec, Codecs } from './codec.ts';
export { codecsOf, loadCodecs } from './load.ts';
