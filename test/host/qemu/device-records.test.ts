// Device records of QEMU: what went in comes out, and nothing else does.

import { describe, expect, it } from 'vitest';
import type { VitrineError } from '../../../src/base/error.ts';
import type { DeviceRecord } from '../../../src/guest/guest.ts';
import { readRecord, recordOfBlock, recordOfSection } from '../../../src/host/qemu/device-records.ts';

const section = {
  name: '0000:00:02.0/virtio-net',
  instanceId: 3,
  versionId: 11,
  body: Uint8Array.of(1, 2, 3, 4, 5),
  early: true,
};
const block = { name: 'vga.vram', bytes: new Uint8Array(4096).fill(7) };

function codeOfReading(record: DeviceRecord): string {
  try {
    readRecord(record);
    return 'none';
  } catch (error) {
    return (error as VitrineError).code;
  }
}

describe('device records', () => {
  it('hold sections and blocks, under names that tell them apart', () => {
    const records = [recordOfSection(section), recordOfBlock(block)];
    expect(records.map(({ name, version }) => [name, version])).toEqual([
      ['0000:00:02.0/virtio-net@3', 1],
      ['block:vga.vram', 1],
    ]);
    expect(records.map(readRecord)).toEqual([{ section }, { block }]);
  });

  it('are refused when any bit is another, or any byte is missing', () => {
    const good = recordOfSection(section);
    for (let bit = 0; bit < good.bytes.length * 8; bit++) {
      const bytes = good.bytes.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect({ bit, code: codeOfReading({ ...good, bytes }) }).toEqual({ bit, code: 'guest-state-invalid' });
    }
    for (let length = 0; length < good.bytes.length; length++) {
      expect(codeOfReading({ ...good, bytes: good.bytes.slice(0, length) })).toBe('guest-state-invalid');
    }
  });

  it('are refused under another name, of another version, or as the other kind', () => {
    const good = recordOfSection(section);
    for (const change of [{ name: 'serial@2' }, { name: 'serial' }, { version: 2 }, { version: 0 }]) {
      expect(codeOfReading({ ...good, ...change })).toBe('guest-state-invalid');
    }
    expect(codeOfReading({ ...recordOfBlock(block), name: 'vga.vram@0' })).toBe('guest-state-invalid');
  });
});
