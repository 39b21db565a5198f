// QEMU's device state as device records: one a device section (`serial@0`), one a block of memory that is not RAM
// (`block:vga.vram`). Each has a head of its own:
//
//   | Offset | Size | Field                                                  |
//   |--------|------|--------------------------------------------------------|
//   | 0      | 4    | `QDEV` for a section, `QBLK` for a block               |
//   | 4      | 4    | instance of the device; 0 for a block                  |
//   | 8      | 4    | version of the section; 0 for a block                  |
//   | 12     | 4    | 1 for a section that has to be loaded before RAM       |
//   | 16     | 4    | CRC-32 of what follows and of the sixteen bytes before |
//   | 20     |      | the section's bytes; all bytes of the block            |
//
// The checksum is there because QEMU trusts what it loads: damaged state can end the process. So it never gets any.

import { crc32 } from 'node:zlib';
import { type OwnedBytes, ownBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import type { DeviceRecord } from '../../guest/guest.ts';
import type { DeviceSection } from './stream/index.ts';

export const RECORD_VERSION = 1;
const HEAD_BYTES = 20;
const CHECKED_HEAD_BYTES = 16;
const SECTION_MAGIC = 0x5645_4451; // `QDEV`, little-endian
const BLOCK_MAGIC = 0x4b4c_4251; // `QBLK`
const BLOCK_PREFIX = 'block:';

/** All bytes of a memory block that is not RAM. */
export interface BlockContent {
  readonly name: string;
  readonly bytes: OwnedBytes;
}

/** The name of a section's record: sections of one name differ in their instance. */
export function sectionName({ name, instanceId }: Pick<DeviceSection, 'name' | 'instanceId'>): string {
  return `${name}@${instanceId}`;
}

export function blockRecordName(block: string): string {
  return `${BLOCK_PREFIX}${block}`;
}

export function recordOfSection(section: DeviceSection): DeviceRecord {
  const { instanceId, versionId, early, body } = section;
  const bytes = withHead(SECTION_MAGIC, [instanceId, versionId, early ? 1 : 0], body);
  return { name: sectionName(section), version: RECORD_VERSION, bytes };
}

export function recordOfBlock({ name, bytes }: BlockContent): DeviceRecord {
  return {
    name: blockRecordName(name),
    version: RECORD_VERSION,
    bytes: withHead(BLOCK_MAGIC, [0, 0, 0], bytes),
  };
}

/** What a record says. Throws `guest-state-invalid` unless every byte of it is right. */
export function readRecord(
  record: DeviceRecord,
): { readonly section: DeviceSection } | { readonly block: BlockContent } {
  const { name, version } = record;
  const bytes = ownBytes(record.bytes);
  const refuse = (reason: string): VitrineError =>
    new VitrineError('guest-state-invalid', { record: name, reason });
  if (version !== RECORD_VERSION) throw refuse(`version ${version}`);
  if (bytes.length < HEAD_BYTES) throw refuse(`${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(CHECKED_HEAD_BYTES, true) !== checksumOf(bytes)) throw refuse('its checksum is another');
  const body = bytes.subarray(HEAD_BYTES);
  const magic = view.getUint32(0, true);
  if (magic === BLOCK_MAGIC && name.startsWith(BLOCK_PREFIX)) {
    return { block: { name: name.slice(BLOCK_PREFIX.length), bytes: body } };
  }
  if (magic !== SECTION_MAGIC) throw refuse('it is no device state of QEMU');
  const instanceId = view.getUint32(4, true);
  const suffix = `@${instanceId}`;
  if (!name.endsWith(suffix)) throw refuse('its name is another');
  return {
    section: {
      name: name.slice(0, -suffix.length),
      instanceId,
      versionId: view.getUint32(8, true),
      early: view.getUint32(12, true) === 1,
      body,
    },
  };
}

function withHead(magic: number, words: readonly [number, number, number], body: Uint8Array): OwnedBytes {
  const bytes = new Uint8Array(HEAD_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  for (const [index, word] of words.entries()) view.setUint32(4 + 4 * index, word, true);
  bytes.set(body, HEAD_BYTES);
  view.setUint32(CHECKED_HEAD_BYTES, checksumOf(bytes), true);
  return bytes;
}

function checksumOf(bytes: Uint8Array): number {
  return crc32(bytes.subarray(HEAD_BYTES), crc32(bytes.subarray(0, CHECKED_HEAD_BYTES)));
}
