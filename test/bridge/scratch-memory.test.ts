// Memory that peeks use again: only when nobody holds it.

import { describe, expect, it } from 'vitest';
import { BRIDGE_LIMITS } from '../../src/bridge/bridge-limits.ts';
import { CreditLedger } from '../../src/bridge/credit.ts';
import { ScratchMemory } from '../../src/bridge/scratch-memory.ts';

const LENGTH = 1 << 20;

describe('scratch memory', () => {
  const channelOf = (copies: boolean | undefined) => ({
    bufferedBytes: 0,
    ...(copies === undefined ? {} : { copies }),
  });

  it('is used again once it was given back and has left the channel', () => {
    const channel = channelOf(true);
    const scratch = new ScratchMemory(channel);
    const first = scratch.take(LENGTH);
    const [head, tail] = [first(1000), first(LENGTH - 1000)];
    expect(tail.buffer).toBe(head.buffer);
    expect(tail.byteOffset).toBe(head.byteOffset + 1000);
    expect(scratch.take(LENGTH)(LENGTH).buffer).not.toBe(head.buffer);
    channel.bufferedBytes = 1;
    scratch.giveBack(first);
    expect(scratch.take(LENGTH)(LENGTH).buffer).not.toBe(head.buffer);
    channel.bufferedBytes = 0;
    const again = scratch.take(LENGTH / 2);
    expect(again(LENGTH / 2).buffer).toBe(head.buffer);
    // One that has it not gives nothing back.
    scratch.giveBack(first);
    expect(scratch.take(LENGTH)(LENGTH).buffer).not.toBe(head.buffer);
  });

  it('is never used again where the other end may hold what was sent, nor for what is long', () => {
    for (const copies of [undefined, false]) {
      const scratch = new ScratchMemory(channelOf(copies));
      const first = scratch.take(LENGTH);
      const { buffer } = first(LENGTH);
      scratch.giveBack(first);
      expect(scratch.take(LENGTH)(LENGTH).buffer).not.toBe(buffer);
    }
    const scratch = new ScratchMemory(channelOf(true));
    const long = scratch.take(BRIDGE_LIMITS.scratchBytes + 1);
    const { buffer } = long(BRIDGE_LIMITS.scratchBytes + 1);
    scratch.giveBack(long);
    expect(scratch.take(LENGTH)(LENGTH).buffer).not.toBe(buffer);
  });

  it('gives new memory to whoever wants more than he said', () => {
    const allocate = new ScratchMemory(channelOf(true)).take(LENGTH);
    const { buffer } = allocate(LENGTH);
    expect(allocate(1).buffer).not.toBe(buffer);
  });
});

describe('credit', () => {
  it('is granted again in steps, and never less than was taken before the last one', () => {
    const ledger = new CreditLedger();
    let granted = 0;
    let taken = 0;
    for (let frame = 0; frame < 100; frame++) {
      taken += 300_000;
      const due = ledger.taken(300_000);
      expect(due === 0 || due >= BRIDGE_LIMITS.creditStepBytes).toBe(true);
      granted += due;
      expect(taken - granted).toBeLessThan(BRIDGE_LIMITS.creditStepBytes);
    }
  });
});
