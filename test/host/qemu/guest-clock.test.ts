// A state's time stamp counter: what goes into a process with a past comes out as it was, and what is told otherwise stays as it is.

import { describe, expect, it } from 'vitest';
import { sectionName } from '../../../src/host/qemu/device-records.ts';
import { editsForPast, withoutPast } from '../../../src/host/qemu/guest-clock.ts';
import type { DeviceSection } from '../../../src/host/qemu/stream/index.ts';
import { Random } from '../../../src/testing/random.ts';
import { seedOfRun } from '../../support/seed.ts';

const random = new Random(seedOfRun());
const NOW_MS = Date.UTC(2026, 10, 22);

function section(
  name: string,
  instanceId: number,
  versionId: number,
  body: Uint8Array<ArrayBuffer>,
): DeviceSection {
  return { name, instanceId, versionId, early: false, body };
}

/** As QEMU writes it: no processor is within another machine. */
function cpu(instanceId: number, { offset = 0n, flags = 0, versionId = 12 } = {}): DeviceSection {
  const body = random.bytes(1817);
  const view = new DataView(body.buffer);
  view.setUint32(144, flags);
  view.setBigInt64(896, offset);
  return section('cpu', instanceId, versionId, body);
}

function timer(ticks: bigint, lengthBytes = 24): DeviceSection {
  const body = random.bytes(lengthBytes);
  new DataView(body.buffer).setBigInt64(0, ticks);
  return section('timer', 0, 2, body);
}

function edited(sections: readonly DeviceSection[]): DeviceSection[] {
  const edits = editsForPast(sections, NOW_MS);
  return sections.map((one) => {
    const body = one.body.slice();
    for (const edit of edits) if (edit.section === sectionName(one)) body.set(edit.bytes, edit.offsetBytes);
    return { ...one, body };
  });
}

const counterOf = (sections: readonly DeviceSection[], index: number): bigint => {
  const at = (name: string, instance: number, offset: number): bigint => {
    const { body } = sections.find((one) => one.name === name && one.instanceId === instance)!;
    return new DataView(body.buffer, body.byteOffset).getBigInt64(offset);
  };
  return at('timer', 0, 0) + at('cpu', index, 896);
};

describe('the counter in a state', () => {
  it('is the same for the guest in a process with a past, and higher for QEMU, the later the higher', () => {
    const sections = [
      timer(123_456_789_012n),
      cpu(0),
      cpu(1, { offset: 77n }),
      section('i8254', 0, 1, random.bytes(9)),
    ];
    const past = edited(sections);
    expect(counterOf(past, 0)).toBe(counterOf(sections, 0));
    expect(counterOf(past, 1)).toBe(counterOf(sections, 1));
    const ticksOf = (wallMs: number): bigint => {
      const { bytes } = editsForPast(sections, wallMs).find((edit) => edit.section === 'timer@0')!;
      return new DataView(bytes.buffer).getBigInt64(0);
    };
    expect(ticksOf(NOW_MS)).toBeGreaterThan(10n ** 17n);
    expect(ticksOf(NOW_MS + 1) - ticksOf(NOW_MS)).toBe(8_000_000n);
    expect(withoutPast(past)).toEqual(sections);
    expect(withoutPast(sections)).toEqual(sections);
  });

  it('stays as it is where it is made of instructions, within a machine, and in versions that are not known', () => {
    for (const sections of [
      [timer(5n, 60), cpu(0)],
      [timer(5n), cpu(0, { flags: 1 << 21 })],
      [timer(5n), cpu(0, { versionId: 13 })],
      [timer(5n)],
      [cpu(0, { offset: -9n })],
    ]) {
      expect(editsForPast(sections, NOW_MS)).toEqual([]);
      expect(withoutPast(sections)).toEqual(sections);
    }
  });
});
