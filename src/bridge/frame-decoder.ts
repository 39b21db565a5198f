// Frames from a stream of messages, however it was cut: a message may hold a part of a frame, one, or many.
//
// A header is checked whole before anything is allocated for its body, and a body's buffer grows with the bytes that have
// come, never with the length that a peer claims. What is refused once stays refused: there is no way back into step.
//
// Bodies of a byte stream need no memory here at all, where their reader takes them in parts: a stream means the same however
// it is cut.

import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { KIB } from '../base/limits.ts';
import {
  BODY_BYTES,
  FLAG_END,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  type Frame,
  type FrameType,
} from './frame.ts';

/** What a body's buffer starts with, where the body did not come in one piece. */
const FIRST_BODY_BYTES = 4 * KIB;

type Header = Omit<Frame, 'body'> & { readonly lengthBytes: number; readonly isInParts: boolean };

/** Whether the data frames of a request may come in parts, each as a frame of its own. */
export type InParts = (request: number) => boolean;

const TYPE_OF = new Map<number, FrameType>(
  // Safe: the keys of a constant table are its type.
  (Object.keys(FRAME_TYPES) as FrameType[]).map((type) => [FRAME_TYPES[type], type]),
);

export class FrameDecoder {
  readonly #accepted: ReadonlySet<FrameType>;
  readonly #inParts: InParts;
  readonly #headerBytes = new Uint8Array(FRAME_HEADER_BYTES);
  #headerLength = 0;
  #header: Header | null = null;
  #body: OwnedBytes = new Uint8Array(0);
  #bodyLength = 0;
  #refusal: unknown = null;

  /** Takes frames of these types alone. */
  constructor(accepted: readonly FrameType[], inParts: InParts = () => false) {
    this.#accepted = new Set(accepted);
    this.#inParts = inParts;
  }

  /** Bytes held of a frame that is not whole yet. */
  get heldBytes(): number {
    return this.#headerLength + this.#body.length;
  }

  /**
   * The frames that end in `message`, in order, and the parts of those that may come in parts, of which the last one alone has
   * the frame's `end`. Each is to be dealt with before the next one is asked for.
   *
   * Throws `format-tag` for a type, flag or reserved field that is unknown or not accepted here, `format-limit` for a
   * length that its type does not allow, `format-range` for a request 0; and the same again at each later call.
   */
  *push(message: OwnedBytes): Generator<Frame, void, undefined> {
    if (this.#refusal !== null) throw this.#refusal;
    let at = 0;
    while (at < message.length) {
      if (this.#header === null) {
        const taken = Math.min(FRAME_HEADER_BYTES - this.#headerLength, message.length - at);
        this.#headerBytes.set(message.subarray(at, at + taken), this.#headerLength);
        this.#headerLength += taken;
        at += taken;
        if (this.#headerLength < FRAME_HEADER_BYTES) return;
        this.#header = this.#readHeader();
        this.#bodyLength = 0;
      }
      const { type, request, verb, end, lengthBytes, isInParts } = this.#header;
      const isWhole = this.#bodyLength === 0 && message.length - at >= lengthBytes;
      const taken = Math.min(lengthBytes - this.#bodyLength, message.length - at);
      const part = message.subarray(at, at + taken);
      if (isInParts) this.#bodyLength += taken;
      else if (!isWhole) this.#append(part, lengthBytes);
      const body = isWhole || isInParts ? part : this.#body.subarray(0, this.#bodyLength);
      at += taken;
      if (!isWhole && this.#bodyLength < lengthBytes) {
        if (isInParts && taken > 0) yield { type, request, verb, end: false, body };
        return;
      }
      this.#header = null;
      this.#headerLength = 0;
      this.#body = new Uint8Array(0);
      this.#bodyLength = 0;
      yield { type, request, verb, end, body };
    }
  }

  #append(bytes: Uint8Array, lengthBytes: number): void {
    const length = this.#bodyLength + bytes.length;
    if (length > this.#body.length) {
      const grown = new Uint8Array(
        Math.min(lengthBytes, Math.max(FIRST_BODY_BYTES, length, 2 * this.#body.length)),
      );
      grown.set(this.#body.subarray(0, this.#bodyLength));
      this.#body = grown;
    }
    this.#body.set(bytes, this.#bodyLength);
    this.#bodyLength = length;
  }

  #readHeader(): Header {
    const view = new DataView(this.#headerBytes.buffer);
    const tag = view.getUint8(0);
    const type = TYPE_OF.get(tag);
    if (type === undefined || !this.#accepted.has(type)) this.#refuse('format-tag', { field: 'type', tag });
    const flags = view.getUint8(1);
    const isAllowed = flags === 0 || (flags === FLAG_END && type === 'data');
    if (!isAllowed) this.#refuse('format-tag', { field: 'flags', tag: flags, type });
    const verb = view.getUint16(2, true);
    if ((verb !== 0) !== (type === 'request')) this.#refuse('format-tag', { field: 'verb', tag: verb, type });
    const request = view.getUint32(4, true);
    if (request === 0) this.#refuse('format-range', { field: 'request', value: 0, type });
    const lengthBytes = view.getUint32(8, true);
    const { least, most } = BODY_BYTES[type];
    if (lengthBytes < least || lengthBytes > most) {
      this.#refuse('format-limit', { field: 'body', type, claimedBytes: lengthBytes, mostBytes: most });
    }
    const isInParts = type === 'data' && this.#inParts(request);
    return { type, request, verb, end: flags === FLAG_END, lengthBytes, isInParts };
  }

  #refuse(
    code: 'format-tag' | 'format-limit' | 'format-range',
    data: Record<string, string | number>,
  ): never {
    this.#refusal = new VitrineError(code, { record: 'frame', ...data });
    throw this.#refusal;
  }
}
