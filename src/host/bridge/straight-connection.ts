// The connection under a program's WebSocket. Bytes of binary messages go straight to their reader, out of one piece of memory
// that every read fills anew; all else (the handshake, control frames, whatever is unusual) goes on to `ws` as it came.
//
//   socket ──▶ head of the answer ──▶ ws          a frame (RFC 6455, section 5.2) of a server:
//         └──▶ header of a frame ──┬▶ reader      | 1 | fin, reserved, opcode |
//                                  └▶ ws          | 1, 3 or 9 | mask (never), length |
//
// `ws` makes a new array of each 64 KiB that it reads, and another one of each message: of a peek, half of the client's time.
// Where a message ends means nothing to a channel, so nothing has to be put together here.

import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { OwnedBytes } from '../../base/bytes.ts';
import { KIB } from '../../base/limits.ts';

/** 64 KiB are read a third slower; 1 MiB no faster. */
const READ_BYTES = 256 * KIB;
/** A whole binary message in one frame, nothing reserved: what a bridge sends. */
const WHOLE_BINARY = 0x82;
const FIN = 0x80;
const OPCODE = 0x0f;
const FIRST_CONTROL_OPCODE = 8;
const MASKED = 0x80;
const END_OF_HEAD = 0x0d0a0d0a;
const SWITCHED = /^HTTP\/1\.1 101 /;
const STATUS_LINE_BYTES = 13;

/** Takes bytes that are its own until it returns; null while there is no reader. */
export type ByteReader = ((bytes: OwnedBytes) => void) | null;

/** What Node's HTTP and `ws` ask for a connection with. */
export type ConnectionOptions = NetConnectOpts & { readonly socketPath?: string | undefined };

/** A connection without TLS, whose messages go to what `reader` tells when their first byte has come. */
export function connectStraight(options: ConnectionOptions, reader: () => ByteReader): Duplex {
  return new StraightConnection(options, reader);
}

class StraightConnection extends Duplex {
  readonly #socket: Socket;
  readonly #reader: () => ByteReader;
  #phase: 'head' | 'frames' | 'other' = 'head';
  #status = '';
  #lastFour = 0;
  readonly #header = new Uint8Array(10);
  #headerLength = 0;
  /** Bytes to come of the frame that is under way, and who gets them. */
  #left = 0;
  #taker: ByteReader = null;
  /** Whether `ws` has the beginning of a message. */
  #isCut = false;

  constructor(options: ConnectionOptions, reader: () => ByteReader) {
    super({ allowHalfOpen: false });
    this.#reader = reader;
    // As ws does it: the path of a request is no path of a socket.
    const path = options.socketPath;
    this.#socket = connect({
      ...options,
      path,
      onread: {
        buffer: new Uint8Array(READ_BYTES),
        callback: (length, memory) => {
          // Safe: it is the array above.
          this.#take((memory as OwnedBytes).subarray(0, length));
          return true;
        },
      },
    } as NetConnectOpts);
    this.#socket.on('connect', () => this.emit('connect'));
    this.#socket.on('timeout', () => this.emit('timeout'));
    this.#socket.on('end', () => this.push(null));
    this.#socket.on('error', (error) => this.destroy(error));
    this.#socket.on('close', () => this.destroy());
  }

  setTimeout(ms: number): this {
    this.#socket.setTimeout(ms);
    return this;
  }

  setNoDelay(isOn?: boolean): this {
    this.#socket.setNoDelay(isOn);
    return this;
  }

  setKeepAlive(isOn?: boolean, delayMs?: number): this {
    this.#socket.setKeepAlive(isOn, delayMs);
    return this;
  }

  override _read(): void {
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _writev(
    chunks: readonly { readonly chunk: Uint8Array }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#socket.cork();
    for (const [index, { chunk }] of chunks.entries()) {
      this.#socket.write(chunk, index === chunks.length - 1 ? done : undefined);
    }
    this.#socket.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #take(bytes: OwnedBytes): void {
    let at = 0;
    if (this.#phase === 'head') {
      at = this.#endOfHead(bytes);
      this.#passOn(bytes.subarray(0, at));
    }
    if (this.#phase !== 'frames') this.#passOn(bytes.subarray(at));
    else
      while (at < bytes.length) at = this.#left > 0 ? this.#takeBody(bytes, at) : this.#takeHeader(bytes, at);
  }

  /** Where the answer's head ends in `bytes`, or their length; after it come frames, if the protocol was switched. */
  #endOfHead(bytes: OwnedBytes): number {
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (this.#status.length < STATUS_LINE_BYTES) this.#status += String.fromCharCode(byte);
      this.#lastFour = (this.#lastFour << 8) | byte;
      if (this.#lastFour !== END_OF_HEAD) continue;
      this.#phase = SWITCHED.test(this.#status) ? 'frames' : 'other';
      return at + 1;
    }
    return bytes.length;
  }

  #takeHeader(bytes: OwnedBytes, from: number): number {
    let at = from;
    while (this.#headerLength < this.#headerBytes()) {
      if (at === bytes.length) return at;
      this.#header[this.#headerLength++] = bytes[at++]!;
    }
    const header = this.#header.subarray(0, this.#headerLength);
    this.#headerLength = 0;
    this.#begin(header);
    return at;
  }

  /** Length of the header, as far as it is known by now. */
  #headerBytes(): number {
    if (this.#headerLength < 2) return 2;
    const length = this.#header[1]! & ~MASKED;
    return length === 126 ? 4 : length === 127 ? 10 : 2;
  }

  #begin(header: OwnedBytes): void {
    const [first, second] = [header[0]!, header[1]!];
    const length = lengthIn(header);
    this.#left = length;
    // What is not for us in every respect is for ws to read or to refuse; so is what would overtake that.
    const isPlain = first === WHOLE_BINARY && (second & MASKED) === 0 && Number.isSafeInteger(length);
    this.#taker = isPlain && !this.#isCut && this.readableLength === 0 ? this.#reader() : null;
    if (this.#taker !== null) return;
    if ((first & OPCODE) < FIRST_CONTROL_OPCODE) this.#isCut = (first & FIN) === 0;
    if ((second & MASKED) !== 0 || !Number.isSafeInteger(length)) this.#phase = 'other';
    this.#passOn(header);
  }

  #takeBody(bytes: OwnedBytes, from: number): number {
    const end = from + Math.min(this.#left, bytes.length - from);
    this.#left -= end - from;
    const part = bytes.subarray(from, end);
    if (this.#taker === null) this.#passOn(part);
    else this.#taker(part);
    return end;
  }

  #passOn(bytes: OwnedBytes): void {
    if (bytes.length === 0) return;
    // Whoever gets it keeps it; who takes nothing is not read on.
    if (!this.push(Buffer.from(bytes))) this.#socket.pause();
  }
}

/** The length that a header has in one of three ways. */
function lengthIn(header: OwnedBytes): number {
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  if (header.length === 2) return view.getUint8(1) & ~MASKED;
  return header.length === 4 ? view.getUint16(2) : Number(view.getBigUint64(2));
}
