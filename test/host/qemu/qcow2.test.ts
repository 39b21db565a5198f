// The file that carries a stream into a running machine, byte by byte; QEMU's own check of it is in test/qemu.

import { describe, expect, it } from 'vitest';
import { isVitrineError } from '../../../src/base/error.ts';
import { vmstateImage } from '../../../src/host/qemu/qcow2.ts';
import { Random } from '../../../src/testing/random.ts';
import { expectSame } from '../../support/same.ts';
import { seedOfRun } from '../../support/seed.ts';

const CLUSTER = 65_536;
/** The mark of a cluster with one reference. */
const COPIED = 1n << 63n;

describe('a vmstate image', () => {
  it.each([1, CLUSTER, CLUSTER + 1, 3 * CLUSTER])(
    'holds a state of %i bytes behind its disk',
    (stateBytes) => {
      const state = new Random(seedOfRun()).bytes(stateBytes);
      const cut = stateBytes >> 1;
      const image = vmstateImage([state.subarray(0, cut), state.subarray(cut)], 'tag');
      expectSame(readState(image, 'tag'), state);
    },
  );

  it('counts each of its clusters once', () => {
    const image = vmstateImage([new Uint8Array(5 * CLUSTER)], 'tag');
    const view = new DataView(image.buffer);
    const table = Number(view.getBigUint64(48));
    const block = Number(view.getBigUint64(table));
    const counts = Array.from({ length: CLUSTER / 2 }, (_, i) => view.getUint16(block + 2 * i));
    const clusters = image.length / CLUSTER;
    expect(counts.filter((count) => count === 1)).toHaveLength(clusters);
    expect(counts.slice(clusters).every((count) => count === 0)).toBe(true);
  });

  it('has a name', () => {
    for (const tag of ['', 'x'.repeat(256)]) {
      try {
        vmstateImage([], tag);
        expect.fail('it was made');
      } catch (error) {
        expect(isVitrineError(error, 'argument-invalid')).toBe(true);
      }
    }
  });
});

/** The machine state of snapshot `tag`, as the format's specification says it is found. */
function readState(image: Uint8Array<ArrayBuffer>, tag: string): Uint8Array {
  const view = new DataView(image.buffer);
  expect(view.getUint32(0)).toBe(0x5146_49fb);
  expect(view.getUint32(4)).toBe(3);
  const clusterBits = view.getUint32(20);
  const table = Number(view.getBigUint64(64));
  expect(view.getUint32(60)).toBe(1);
  const [idLength, nameLength] = [view.getUint16(table + 12), view.getUint16(table + 14)];
  const nameAt = table + 40 + view.getUint32(table + 36) + idLength;
  expect(new TextDecoder().decode(image.subarray(nameAt, nameAt + nameLength))).toBe(tag);
  const l1 = Number(view.getBigUint64(table));
  const stateBytes = Number(view.getBigUint64(table + 40));
  expect(view.getUint32(table + 32)).toBe(stateBytes);
  // Behind the part of the address space that an L1 for the disk reaches.
  const l2Bits = clusterBits - 3;
  const diskBytes = Number(view.getBigUint64(24));
  const from = Math.ceil(diskBytes / 2 ** (clusterBits + l2Bits)) * 2 ** (clusterBits + l2Bits);
  const state = new Uint8Array(stateBytes);
  for (let done = 0; done < stateBytes; done += 2 ** clusterBits) {
    const cluster = (from + done) / 2 ** clusterBits;
    const l2 = offsetOf(view, l1 + 8 * Math.floor(cluster / 2 ** l2Bits));
    const data = offsetOf(view, l2 + 8 * (cluster % 2 ** l2Bits));
    state.set(image.subarray(data, data + Math.min(2 ** clusterBits, stateBytes - done)), done);
  }
  return state;
}

function offsetOf(view: DataView, at: number): number {
  const entry = view.getBigUint64(at);
  expect(entry & COPIED).toBe(COPIED);
  return Number(entry & ~COPIED);
}
