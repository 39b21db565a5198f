// What a client may say to a machine's screen. A VNC server does all that its client asks: it takes keys, hands on what was
// copied, changes the size of the screen, ends other clients. So what a client sends (RFB, RFC 6143, and the messages that
// QEMU adds) is read here, and of it goes on only what looking needs, and keys and pointer where the session may type.
//
//   | Type | Message                     | Goes on                                        |
//   |------|-----------------------------|------------------------------------------------|
//   | 0    | pixel format                | always                                         |
//   | 2    | encodings                   | always, those that `LOOKING` does not have left out |
//   | 3    | a picture is asked for      | always                                         |
//   | 4, 5 | a key, the pointer          | with input                                     |
//   | 6    | what was copied             | never                                          |
//   | 251  | another size of the screen  | never                                          |
//   | 255  | of QEMU: a key, or sound    | keys with input, sound never                   |
//
// Nothing is kept of what does not go on; what goes on is at most some hundred bytes long before it is whole. Encodings that
// are left out are those that change what a client may say or what the server tells of others, so that no type but these
// can come.

import { concatBytes, type OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';

const VERSION = 'RFB 003.008\n';
const NO_AUTHENTICATION = 1;
/** RFB has some thirty; noVNC names twenty. */
const MAX_ENCODINGS = 128;

/** Encodings of pictures, and of a picture's size, pointer, name and lights; 258 tells keys by their place on the keyboard. */
const LOOKING = new Set([0, 1, 2, 5, 6, 7, 15, 16, 21, -260, -223, -224, -239, -258, -261, -307, -308, -314]);
/** Ranges of them: how good pictures are, and how small. */
const isQuality = (encoding: number): boolean =>
  (encoding >= -32 && encoding <= -23) || (encoding >= -256 && encoding <= -247);

/** How many bytes of a message are there to tell its length from, and what becomes of it. */
interface MessageRule {
  readonly headerBytes: number;
  lengthOf(header: DataView): number;
  readonly goesOn: 'always' | 'with input' | 'never';
}

const fixed = (lengthBytes: number, goesOn: MessageRule['goesOn']): MessageRule => ({
  headerBytes: 1,
  lengthOf: () => lengthBytes,
  goesOn,
});

const RULES: ReadonlyMap<number, MessageRule> = new Map([
  [0, fixed(20, 'always')],
  [2, { headerBytes: 4, lengthOf: (header) => 4 + 4 * encodingCount(header), goesOn: 'always' }],
  [3, fixed(10, 'always')],
  [4, fixed(8, 'with input')],
  [5, fixed(6, 'with input')],
  // A negative length says that the text is of another form.
  [6, { headerBytes: 8, lengthOf: (header) => 8 + Math.abs(header.getInt32(4)), goesOn: 'never' }],
  [251, { headerBytes: 8, lengthOf: (header) => 8 + 16 * header.getUint8(6), goesOn: 'never' }],
]);
const QEMU = 255;
const QEMU_KEY: MessageRule = fixed(12, 'with input');
const QEMU_SOUND: MessageRule = {
  headerBytes: 4,
  lengthOf: (header) => (header.getUint16(2) === 2 ? 10 : 4),
  goesOn: 'never',
};

export class RfbFilter {
  readonly #input: boolean;
  #stage: 'version' | 'security' | 'client' | 'messages' = 'version';
  /** The beginning of what is not whole yet. */
  #held: OwnedBytes = new Uint8Array(0);
  /** Bytes of a message that does not go on, still to come. */
  #skipBytes = 0;

  /** `input` says whether keys and pointer go on. */
  constructor(options: { readonly input: boolean }) {
    this.#input = options.input;
  }

  /**
   * Takes what the client sent, cut anyhow, and returns what of it goes on.
   *
   * Throws `format-tag` for a message that is not in the table, `format-range` for an opening other than RFB 3.8 without
   * authentication, `format-limit` for more encodings than there are; nothing may be taken after that.
   */
  push(bytes: OwnedBytes): OwnedBytes {
    const skipped = Math.min(this.#skipBytes, bytes.length);
    this.#skipBytes -= skipped;
    const rest = concatBytes([this.#held, bytes.subarray(skipped)]);
    const passed: OwnedBytes[] = [];
    let at = 0;
    for (;;) {
      const taken = this.#next(rest.subarray(at), passed);
      if (taken === 0) break;
      at += taken;
      if (at > rest.length) {
        this.#skipBytes = at - rest.length;
        at = rest.length;
      }
    }
    this.#held = rest.slice(at);
    return concatBytes(passed);
  }

  /** One step: its length, which may reach past `bytes` for what is passed over; 0 when more is to come. */
  #next(bytes: OwnedBytes, passed: OwnedBytes[]): number {
    if (bytes.length === 0) return 0;
    switch (this.#stage) {
      case 'version':
        if (bytes.length < VERSION.length) return 0;
        if (VERSION !== String.fromCharCode(...bytes.subarray(0, VERSION.length)))
          refuse('version', bytes[10]!);
        this.#stage = 'security';
        passed.push(bytes.subarray(0, VERSION.length));
        return VERSION.length;
      case 'security':
        if (bytes[0] !== NO_AUTHENTICATION) refuse('security', bytes[0]!);
        this.#stage = 'client';
        passed.push(bytes.subarray(0, 1));
        return 1;
      case 'client':
        this.#stage = 'messages';
        // Shared, whatever the client wants: alone it would end the others.
        passed.push(Uint8Array.of(1));
        return 1;
      case 'messages':
        return this.#nextMessage(bytes, passed);
    }
  }

  #nextMessage(bytes: OwnedBytes, passed: OwnedBytes[]): number {
    const rule = ruleOf(bytes);
    if (rule === undefined || bytes.length < rule.headerBytes) return 0;
    const lengthBytes = rule.lengthOf(new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
    if (rule.goesOn === 'never' || (rule.goesOn === 'with input' && !this.#input)) return lengthBytes;
    if (bytes.length < lengthBytes) return 0;
    const message = bytes.subarray(0, lengthBytes);
    passed.push(message[0] === 2 ? allowedEncodings(message) : message);
    return lengthBytes;
  }
}

/** Undefined when its second byte has to come first. Throws `format-tag`. */
function ruleOf(bytes: OwnedBytes): MessageRule | undefined {
  const [type, second] = bytes;
  if (type === QEMU && second === undefined) return undefined;
  const rule = type === QEMU ? [QEMU_KEY, QEMU_SOUND][second!] : RULES.get(type!);
  if (rule !== undefined) return rule;
  throw new VitrineError('format-tag', {
    record: 'rfb',
    field: 'message',
    tag: type!,
    second: second ?? null,
  });
}

function encodingCount(header: DataView): number {
  const count = header.getUint16(2);
  if (count <= MAX_ENCODINGS) return count;
  throw new VitrineError('format-limit', { record: 'rfb', field: 'encodings', count, most: MAX_ENCODINGS });
}

function allowedEncodings(message: OwnedBytes): OwnedBytes {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const asked = Array.from({ length: view.getUint16(2) }, (_, index) => view.getInt32(4 + 4 * index));
  const allowed = asked.filter((encoding) => LOOKING.has(encoding) || isQuality(encoding));
  const passed = new Uint8Array(4 + 4 * allowed.length);
  const out = new DataView(passed.buffer);
  out.setUint8(0, 2);
  out.setUint16(2, allowed.length);
  for (const [index, encoding] of allowed.entries()) out.setInt32(4 + 4 * index, encoding);
  return passed;
}

function refuse(field: string, value: number): never {
  throw new VitrineError('format-range', { record: 'rfb', field, value });
}
