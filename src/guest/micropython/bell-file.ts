// MicroPython's doorbell: the file /dev/vitrine. Python writes `save` or `reset` into it, and reads from it what came of that:
// `saved`, `restored`, `refused` or `nobody`. A file, and no module of JavaScript objects, since those stay behind when a
// session comes up in another tab.

import { type Clock, SYSTEM_CLOCK } from '../../base/clock.ts';
import { DOORBELL_WORDS, DoorbellDesk } from '../doorbell.ts';
import type { DeviceOperations, EmscriptenFs } from './file-tree.ts';

const PATH = '/dev/vitrine';
/** Any that Emscripten's own devices have not. */
const DEVICE_MAJOR = 118;
/** The longest word that is understood. */
const WORD_LENGTH = 5;

const ANSWERS: Readonly<Record<number, string>> = {
  [DOORBELL_WORDS.first]: 'saved',
  [DOORBELL_WORDS.restored]: 'restored',
  [DOORBELL_WORDS.refused]: 'refused',
};

/** Puts the file into a session's file system. */
export function addBellFile(fs: EmscriptenFs, clock: Clock = SYSTEM_CLOCK): DoorbellDesk {
  const desk = new DoorbellDesk(`the file ${PATH}`, 'the next return', clock);
  const device = fs.makedev(DEVICE_MAJOR, 0);
  fs.registerDevice(device, operationsOf(desk));
  fs.mkdev(PATH, 0o666, device);
  return desk;
}

function operationsOf(desk: DoorbellDesk): DeviceOperations {
  let written = '';
  /** What each open file has still to give. */
  const unread = new WeakMap<object, Uint8Array>();
  return {
    open(stream) {
      stream.seekable = false;
      unread.set(stream, new TextEncoder().encode(ANSWERS[desk.word] ?? 'nobody'));
    },
    close: () => {},
    read(stream, into, offset, length) {
      const rest = unread.get(stream) ?? new Uint8Array(0);
      const part = rest.subarray(0, length);
      into.set(part, offset);
      unread.set(stream, rest.subarray(part.length));
      return part.length;
    },
    write(_, from, offset, length) {
      for (const byte of from.subarray(offset, offset + length)) {
        written = (written + String.fromCharCode(byte)).slice(-WORD_LENGTH);
        const word = written.endsWith('save') ? 'save' : written.endsWith('reset') ? 'reset' : undefined;
        if (word === undefined) continue;
        written = '';
        desk.ring(DOORBELL_WORDS[word]);
      }
      return length;
    },
  };
}
