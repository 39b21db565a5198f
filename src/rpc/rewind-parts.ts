// What a history is made of, loaded when one is first wanted: most pages of an engine never rewind.

export { loadCodecs } from '../codec/load.ts';
export { EpochTimer } from '../rewind/epoch-timer.ts';
export { openRewind, openStoredRewind } from '../rewind/open-rewind.ts';
export { RewindStore } from '../rewind/rewind-store.ts';
