// The source's side of a postcopy migration, in bytes: what is sent before a machine runs, pages as they are asked for, and what
// comes back. The machine's devices are whole before its RAM is; QEMU then asks for each page that it touches.
//
//   opening   head, OPEN_RETURN_PATH, PING 1, ADVISE, early sections, the list of blocks, DISCARD,
//             PACKAGED { LISTEN, device sections, PING 2, RUN }
//   pages     RAM part { pages, end }, as often as wanted
//   closing   RAM end { end }, end of the stream
//
//   back      u16 type, u16 length, data: PONG, REQ_PAGES of the block asked for last or of a named one, SHUT
//
// At least one page has to be discarded: without that, QEMU (7.2 and 10.0) forgets that it listens, and waits for itself.

import type { OwnedBytes } from '../../../base/bytes.ts';
import { VitrineError } from '../../../base/error.ts';
import { printable } from './byte-queue.ts';
import type { DeviceSection, RamBlock, StreamPage } from './stream.ts';
import { StreamWriter } from './stream-writer.ts';
import { writeHead, writePage, writeRamStart } from './synthesize.ts';
import { PAGE_BYTES, RAM, RAM_SECTION, SECTION } from './wire.ts';

const COMMAND = {
  openReturnPath: 1,
  ping: 2,
  advise: 3,
  listen: 4,
  run: 5,
  discard: 6,
  packaged: 7,
} as const;
const MESSAGE = { shut: 1, pong: 2, requestNamed: 3, request: 4 } as const;

/** The ping that is answered when all devices are loaded. */
export const LOADED_PING = 2;
/** A message is a few dozen bytes; a name takes at most 255. */
const MAX_MESSAGE_BYTES = 1024;
/** A request is for one page of the memory behind it; huge pages end here. */
const MAX_REQUEST_BYTES = 2 ** 30;

export interface PostcopyContent {
  readonly machineType: string;
  /** All blocks; the first is discarded from, as one has to be. */
  readonly blocks: readonly RamBlock[];
  readonly sections: readonly DeviceSection[];
}

/** What QEMU says to its source. */
export type SourceMessage =
  | { readonly kind: 'pong'; readonly value: number }
  | {
      readonly kind: 'request';
      readonly block: string;
      readonly offset: number;
      readonly lengthBytes: number;
    }
  | { readonly kind: 'shut'; readonly error: number };

/** All that comes before the first page. */
export function postcopyOpening({ machineType, blocks, sections }: PostcopyContent): OwnedBytes {
  const writer = new StreamWriter();
  writeHead(writer, { machineType });
  writer.command(COMMAND.openReturnPath, new Uint8Array(0));
  writer.command(COMMAND.ping, wordsOf(1));
  writer.command(COMMAND.advise, longsOf(PAGE_BYTES, PAGE_BYTES));
  let nextId: number = RAM_SECTION.id + 1;
  for (const section of sections.filter(({ early }) => early)) writer.deviceSection(nextId++, section);
  writeRamStart(writer, blocks, false);
  writer.command(COMMAND.discard, discardOf(blocks[0]!.name));
  const packaged = new StreamWriter();
  packaged.command(COMMAND.listen, new Uint8Array(0));
  for (const section of sections.filter(({ early }) => !early)) packaged.deviceSection(nextId++, section);
  packaged.command(COMMAND.ping, wordsOf(LOADED_PING));
  packaged.command(COMMAND.run, new Uint8Array(0));
  const body = packaged.take();
  writer.command(COMMAND.packaged, wordsOf(body.length));
  writer.bytes(body);
  return writer.take();
}

/** Pages, in a part of the RAM section of their own. */
export function pagesPart(blocks: readonly RamBlock[], pages: readonly StreamPage[]): OwnedBytes {
  const writer = new StreamWriter();
  writer.u8(SECTION.part);
  writer.u32(RAM_SECTION.id);
  let lastBlock = -1;
  for (const page of pages) {
    writePage(writer, blocks, page, lastBlock);
    lastBlock = page.block;
  }
  writeRamEnd(writer);
  return writer.take();
}

/** After it QEMU knows that it has all. */
export function postcopyClosing(): OwnedBytes {
  const writer = new StreamWriter();
  writer.u8(SECTION.end);
  writer.u32(RAM_SECTION.id);
  writeRamEnd(writer);
  writer.u8(SECTION.eof);
  return writer.take();
}

/** Takes what comes back apart, in pieces of any size. */
export class SourceMessages {
  #rest = new Uint8Array(0);
  /** The block of the last request that named one. */
  #block: string | undefined;

  /** The messages that are whole now. Throws `format-*` for what QEMU does not send. */
  push(piece: Uint8Array): SourceMessage[] {
    const bytes = new Uint8Array(this.#rest.length + piece.length);
    bytes.set(this.#rest);
    bytes.set(piece, this.#rest.length);
    const view = new DataView(bytes.buffer);
    const messages: SourceMessage[] = [];
    let at = 0;
    while (at + 4 <= bytes.length) {
      const lengthBytes = view.getUint16(at + 2);
      if (lengthBytes > MAX_MESSAGE_BYTES) throw refusal('format-limit', { field: 'length', lengthBytes });
      if (at + 4 + lengthBytes > bytes.length) break;
      const message = this.#read(view.getUint16(at), bytes.subarray(at + 4, at + 4 + lengthBytes));
      if (message !== undefined) messages.push(message);
      at += 4 + lengthBytes;
    }
    this.#rest = bytes.slice(at);
    return messages;
  }

  #read(type: number, body: Uint8Array): SourceMessage | undefined {
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    const need = (lengthBytes: number): void => {
      if (body.length < lengthBytes) {
        throw refusal('format-truncated', { type, neededBytes: lengthBytes, presentBytes: body.length });
      }
    };
    switch (type) {
      case MESSAGE.shut:
        need(4);
        return { kind: 'shut', error: view.getUint32(0) };
      case MESSAGE.pong:
        need(4);
        return { kind: 'pong', value: view.getUint32(0) };
      case MESSAGE.requestNamed:
      case MESSAGE.request: {
        need(12);
        if (type === MESSAGE.requestNamed) {
          need(13);
          need(13 + view.getUint8(12));
          this.#block = printable(body.subarray(13, 13 + view.getUint8(12)));
        }
        const high = view.getUint32(0);
        const lengthBytes = view.getUint32(8);
        if (this.#block === undefined) throw refusal('format-range', { field: 'block' });
        if (high >= 2 ** 21) throw refusal('format-range', { field: 'offset' });
        if (lengthBytes === 0 || lengthBytes > MAX_REQUEST_BYTES) {
          throw refusal('format-range', { field: 'length', lengthBytes });
        }
        const offset = high * 2 ** 32 + view.getUint32(4);
        return { kind: 'request', block: this.#block, offset, lengthBytes };
      }
      default:
        // Of later versions, or of capabilities that are off: nothing that has to be answered.
        return undefined;
    }
  }
}

function writeRamEnd(writer: StreamWriter): void {
  writer.u64(RAM.eos);
  writer.footer(RAM_SECTION.id);
}

/** Version 0, the block's name, a zero, and one range: its first page. */
function discardOf(block: string): OwnedBytes {
  const writer = new StreamWriter();
  writer.u8(0);
  writer.name(block);
  writer.u8(0);
  writer.u64(0);
  writer.u64(PAGE_BYTES);
  return writer.take();
}

function wordsOf(...values: readonly number[]): OwnedBytes {
  const writer = new StreamWriter();
  for (const value of values) writer.u32(value);
  return writer.take();
}

function longsOf(...values: readonly number[]): OwnedBytes {
  const writer = new StreamWriter();
  for (const value of values) writer.u64(value);
  return writer.take();
}

function refusal(
  code: 'format-range' | 'format-limit' | 'format-truncated',
  data: Record<string, string | number>,
): VitrineError {
  return new VitrineError(code, { record: 'return path', ...data });
}
