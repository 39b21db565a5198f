// v86's program, rewritten to mark pages or left alone: when, why, and what of v86 the rewriting relies on.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { compileV86, type V86Guest } from '../../../src/guest/v86/index.ts';
import { trackProgram } from '../../../src/guest/v86/track-program.ts';
import { openPulse, paused, runPulse, v86Bytes } from './machines.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const guests: V86Guest[] = [];
const keep = (guest: V86Guest) => {
  guests.push(guest);
  return guest;
};
afterEach(async () => {
  for (const guest of guests.splice(0)) await guest.close();
});

describe('a v86 guest without marks', () => {
  it('says why: not wanted, not prepared, or another program', async () => {
    const unwanted = keep(await openPulse({ tracking: 'none' }));
    expect(unwanted.traits).toMatchObject({ tracking: 'none', trackingReason: 'not wanted' });
    const plain = keep(await openPulse({ wasm: { module: await WebAssembly.compile(v86Bytes()) } }));
    expect(plain.traits.tracking).toBe('none');
    expect(plain.traits.trackingReason).toContain('trackedWasmFn');
    await paused(plain, () => expect(plain.takeDirty().pages).toEqual([null, null]));
    const renamed = keep(await openPulse({ wasm: { bytes: withName('12do_page_walk', '12do_page_sulk') } }));
    expect(renamed.traits.tracking).toBe('none');
    expect(renamed.traits.trackingReason).toContain('0 functions 12do_page_walk');
    await runPulse(renamed);
  });

  it.each([
    ['a name that is gone', () => withName('18jit_dirty_page_ctx', '18jit_dirty_page_abc'), '0 functions'],
    [
      'a function of another type',
      () => withName('12do_page_walk', '12do_page_xxxx', '12safe_write64'),
      'another type',
    ],
    ['no names', () => withoutNames(), 'no names'],
  ])('is rewritten only when all is as expected: %s', (_, bytes, reason) => {
    const tracked = trackProgram(bytes());
    expect('untracked' in tracked ? tracked.untracked : 'tracked').toContain(reason);
    expect('untracked' in tracked).toBe(true);
  });

  it('is a few hundred bytes longer', async () => {
    const tracked = trackProgram(v86Bytes());
    if (!('bytes' in tracked)) throw new Error(tracked.untracked);
    expect(WebAssembly.validate(tracked.bytes)).toBe(true);
    expect(tracked.bytes.length - v86Bytes().length).toBeLessThan(500);
    expect((await compileV86(v86Bytes())).untracked).toBe(undefined);
    expect(() => trackProgram(Uint8Array.of(1, 2, 3))).toThrow(
      expect.objectContaining({ code: 'argument-invalid' }),
    );
  });
});

describe('the writers of v86 in JavaScript', () => {
  it('are those that are known: another one has to be looked at before this build is used', () => {
    const text = readFileSync(fileURLToPath(import.meta.resolve('v86')), 'latin1');
    const writers = text.match(
      /mem(?:8|32s)(?:\.(?:set|fill|copyWithin)\(|\[[^\]]*\]\s*(?:[-+*/|&^]|<<|>>>?)?=(?!=))/g,
    );
    // write_blob, unpack_memory, reset_memory, the copy of the BIOS.
    expect(writers?.map((one) => one.replace(/\[.*/, '[')).sort()).toEqual([
      'mem8.fill(',
      'mem8.set(',
      'mem8.set(',
      'mem8[',
    ]);
    // Allocated, imported, and used by `unpack_memory` and the balloon.
    expect(text.match(/\.zero_memory\b/g)?.length).toBe(3);
  });
});

/** v86's program with a name changed in place, and another one put in its stead where given; all of one length. */
function withName(name: string, changed: string, other?: string): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(v86Bytes());
  const replace = (from: string, to: string) => {
    let at = bytes.indexOf(from, 0, 'latin1');
    if (at < 0) throw new Error(`${from} is not there`);
    for (; at >= 0; at = bytes.indexOf(from, at, 'latin1')) bytes.write(to, at, 'latin1');
  };
  replace(name, changed);
  if (other !== undefined) replace(other, name);
  return Uint8Array.from(bytes);
}

function withoutNames(): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(v86Bytes());
  bytes.write('eman', bytes.lastIndexOf('\u0004name', undefined, 'latin1') + 1, 'latin1');
  return Uint8Array.from(bytes);
}
