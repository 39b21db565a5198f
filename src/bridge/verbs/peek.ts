// peek: ranges of a machine's memory, all of one instant, or of a snapshot, streamed. There is no bound on their length: up
// to 64 MiB are copied in one short rest of the machine, more is read from its tracker's mirror while it runs on, and
// waits for its reader in a file where the host has one.
//
// The stream holds the ranges one after another, in the order asked for.

import * as v from 'valibot';
import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import type { Machine } from '../../engine/machine.ts';
import type { PeekRange } from '../../engine/peek.ts';
import { BRIDGE_LIMITS } from '../bridge-limits.ts';
import { type BridgeRange, COUNT, MACHINE_NAME, MS, RANGES, SNAPSHOT } from '../fields.ts';
import type { Spool } from '../host.ts';
import { provided, running } from '../running.ts';
import { type Call, defineVerb } from '../verb.ts';

type VirtualRange = [address: bigint, lengthBytes: number];

/** Of a snapshot so much is read and proven at a time. */
const STORED_PART_BYTES = MIB;

export const peek = defineVerb({
  id: 9,
  name: 'peek',
  permission: 'peek',
  effect: 'none',
  streams: { down: 'bytes', up: 'none' },
  request: v.strictObject({
    of: v.union([v.strictObject({ machine: MACHINE_NAME }), v.strictObject({ snapshot: SNAPSHOT })]),
    ranges: RANGES,
    /** `torn` allows bytes of different instants where the machine then need not rest. */
    consistency: v.exactOptional(v.picklist(['instant', 'torn'])),
  }),
  response: v.object({
    lengthBytes: COUNT,
    consistency: v.picklist(['instant', 'torn']),
    /** How long the machine rested; 0 for a snapshot. */
    pauseMs: MS,
    /** `copy`: read while it rested; `mirror`: after it; `store`: a snapshot. */
    source: v.picklist(['copy', 'mirror', 'store']),
  }),
  async run(call, { of, ranges, consistency = 'instant' }) {
    const lengthBytes = ranges.reduce((sum, range) => sum + range.lengthBytes, 0);
    call.note({ ranges: ranges.slice(0, 16), rangeCount: ranges.length, lengthBytes });
    if (!Number.isSafeInteger(lengthBytes)) {
      throw new VitrineError('argument-invalid', { name: 'ranges', lengthBytes });
    }
    if ('snapshot' in of) {
      const { id } = await call.snapshot(of.snapshot);
      const { host } = call;
      const translate = host.translate && ((...range: VirtualRange) => host.translate!(id, ...range));
      await peekStored(call, id, await physicalRanges(translate, ranges));
      return { lengthBytes, consistency: 'instant', pauseMs: 0, source: 'store' } as const;
    }
    const machine = call.machine(of.machine);
    const physical = await physicalRanges(machine.translate?.bind(machine), ranges);
    if (lengthBytes > BRIDGE_LIMITS.peekCopyBytes) {
      const { pauseMs } = await peekLong(call, running(machine), physical);
      return { lengthBytes, consistency: 'instant', pauseMs, source: 'mirror' } as const;
    }
    const { allocate, release } = await call.borrow(lengthBytes);
    try {
      const peeked = await running(machine).peek(physical, { consistency, allocate });
      for (const bytes of peeked.bytes) await call.sendBytes(bytes);
      return {
        lengthBytes,
        consistency: peeked.consistency,
        pauseMs: peeked.pauseMs,
        source: 'copy',
      } as const;
    } finally {
      release();
    }
  },
});

/**
 * Past what is copied in one rest: the machine is given back as soon as its bytes are where they can wait for the reader, who
 * begins to get them meanwhile.
 */
async function peekLong(
  call: Call,
  machine: Machine,
  ranges: readonly PeekRange[],
): Promise<{ readonly pauseMs: number }> {
  const { signal } = call;
  const spool = await call.host.openSpool?.();
  if (spool === undefined) return machine.peekInParts(ranges, (part) => call.sendBytes(part), { signal });
  try {
    const sending = sendAll(call, spool);
    // Where the machine fails first, its error is the one that counts.
    sending.catch(() => {});
    const peeked = await machine.peekInParts(ranges, (part) => spool.write(part), { signal });
    spool.end();
    await sending;
    return peeked;
  } finally {
    await spool.close();
  }
}

async function sendAll(call: Call, spool: Spool): Promise<void> {
  for await (const part of spool.parts()) await call.sendBytes(part);
}

/** A snapshot does not change, so its parts are of one instant whenever they are read. */
async function peekStored(call: Call, snapshot: string, ranges: readonly PeekRange[]): Promise<void> {
  for (const range of ranges) {
    for (let at = 0; at < range.lengthBytes; at += STORED_PART_BYTES) {
      const lengthBytes = Math.min(STORED_PART_BYTES, range.lengthBytes - at);
      for (const bytes of await call.host.engine.peek(snapshot, [partOf(range, at, lengthBytes)])) {
        await call.sendBytes(bytes);
      }
    }
  }
}

function partOf(range: PeekRange, at: number, lengthBytes: number): PeekRange {
  return 'address' in range
    ? { address: range.address + at, lengthBytes }
    : { region: range.region, offsetBytes: range.offsetBytes + at, lengthBytes };
}

async function physicalRanges(
  translate: ((...range: VirtualRange) => Promise<readonly PeekRange[]>) | undefined,
  ranges: readonly BridgeRange[],
): Promise<PeekRange[]> {
  const physical: PeekRange[] = [];
  for (const range of ranges) {
    if (!('virtualAddress' in range)) physical.push(range);
    else {
      const find = provided(translate, 'virtual addresses');
      physical.push(...(await find(BigInt(range.virtualAddress), range.lengthBytes)));
    }
  }
  return physical;
}
