// What is wrong in v86's own save and restore, one test each: see the table in src/guest/v86/UPSTREAM.md.

import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { PULSE } from '../../../src/guest/pulse/pulse.ts';
import { adoptV86, type V86Guest } from '../../../src/guest/v86/index.ts';
import { adopted } from './adopted.ts';
import {
  difference,
  openProgram,
  openPulse,
  paused,
  poke,
  restore,
  runPulse,
  save,
  until,
  untilUp,
  wordAt,
} from './machines.ts';
import { PAGING } from './paging.ts';

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

/** An adopted guest with its emulator, closed at the end of the test. */
async function adopt(): ReturnType<typeof adopted> {
  const made = await adopted();
  keep(made.guest);
  return made;
}

const PROGRAM = Uint8Array.from(
  [
    '31c0 8ed8', //          xor ax,ax; mov ds,ax
    'a10005 3b060205', //    again: mov ax,[500]; cmp ax,[502]
    'dbe3 d9061005', //      fninit; fld dword [510]
    'd81e1405', //           fcomp dword [514]
    '0fae161805', //         ldmxcsr [518]
    '8b0e0405 e3fa', //      wait: mov cx,[504]; jcxz wait — leaves flags and status alone
    '0f94060605', //         setz [506]
    'dd3e0805', //           fnstsw [508]
    '0fae1e1c05', //         stmxcsr [51c]
    'c70604050000', //       mov word [504],0
    'ebce', //               jmp again
    '31c0 8ed8', //          hot: xor ax,ax; mov ds,ax
    '668306200501', //       add dword [520],1
    'ebf8', //               jmp back
  ]
    .join('')
    .match(/[0-9a-f]{2}/g)!,
  (pair) => Number.parseInt(pair, 16),
);
const HOT_ENTRY = 0x36;
const HOT_OPERAND = 0xf0000 + 0x3f;

const EQUAL = [5, 0, 5, 0];
const UNEQUAL = [5, 0, 6, 0];
const float = (value: number) => new Uint8Array(Float32Array.of(value).buffer);
const MXCSR_EQUAL = [0x80, 0x1f, 0, 0];
const MXCSR_UNEQUAL = [0x80, 0x3f, 0, 0];

/** Sets what the program compares, lets it compare, and leaves it where the results wait in the processor. */
async function compare(guest: V86Guest, equal: boolean): Promise<void> {
  await poke(guest, 0x500, equal ? EQUAL : UNEQUAL);
  await poke(guest, 0x510, [...float(1), ...float(equal ? 1 : 2), ...(equal ? MXCSR_EQUAL : MXCSR_UNEQUAL)]);
  await release(guest);
}

/** Lets the program look at the results and compare again. */
async function release(guest: V86Guest): Promise<void> {
  await poke(guest, 0x504, [1, 0]);
  await until(async () => ((await wordAt(guest, 0x504)) & 0xffff) === 0, 'the program');
  // It has cleared the word and may not have compared yet: its next loop reads the word again.
  const counter = () => paused(guest, () => guest.saveDevices()[0]!.bytes.join());
  const before = await counter();
  await until(async () => (await counter()) !== before, 'a slice');
}

async function results(guest: V86Guest) {
  return {
    zero: (await wordAt(guest, 0x506)) & 0xff,
    fpu: ((await wordAt(guest, 0x508)) >> 8) & 0x45,
    mxcsr: await wordAt(guest, 0x51c),
  };
}

describe('v86 restores', () => {
  it('flags, FPU status and MXCSR that wait in the processor', async () => {
    const guest = keep(await openProgram(PROGRAM));
    await guest.start();
    await compare(guest, true);
    const equal = await save(guest);
    await compare(guest, false);
    const unequal = await save(guest);
    for (let round = 0; round < 3; round++) {
      await restore(guest, equal);
      await release(guest);
      expect(await results(guest)).toEqual({ zero: 1, fpu: 0x40, mxcsr: 0x1f80 });
      await restore(guest, unequal);
      await release(guest);
      expect(await results(guest)).toEqual({ zero: 0, fpu: 0x01, mxcsr: 0x3f80 });
    }
    // And in an instance that never computed them.
    const fresh = keep(await openProgram(PROGRAM));
    await restore(fresh, equal);
    await fresh.start();
    await release(fresh);
    expect(await results(fresh)).toEqual({ zero: 1, fpu: 0x40, mxcsr: 0x1f80 });
  });

  it('what it saves, to the byte, again and again, in old and new instances', async () => {
    const guest = keep(await openPulse());
    await runPulse(guest);
    const first = await save(guest);
    const fresh = keep(await openPulse());
    for (let round = 0; round < 3; round++) {
      for (const one of [guest, fresh]) {
        await runPulse(one);
        await paused(one, async () => {
          await restore(one, first);
          expect(difference(first, await save(one))).toBe('none');
        });
      }
    }
  });

  it('characters that wait in the serial line and the keyboard', async () => {
    const guest = keep(await openPulse());
    await guest.start();
    await untilUp(guest);
    await guest.stop();
    guest.sendSerial(Uint8Array.from(Buffer.from('xyz')));
    guest.sendKeys([0x1e, 0x9e, 0x30, 0xb0]);
    const saved = await save(guest);
    await runPulse(guest);
    const line = await lineOf(guest);
    expect([...line].sort().join('')).toBe('abxyz');
    for (const target of [guest, keep(await openPulse())]) {
      await restore(target, saved);
      expect(await lineOf(target)).toBe('');
      await runPulse(target);
      expect(await lineOf(target)).toBe(line);
    }
  });

  it('a machine without a hard disk: v86 itself throws there', async () => {
    const { guest, emulator } = await adopt();
    await runPulse(guest);
    const stock = emulator as unknown as {
      save_state(): Promise<ArrayBuffer>;
      restore_state(state: ArrayBuffer): Promise<void>;
    };
    const saved = await save(guest);
    await expect(stock.restore_state(await stock.save_state())).rejects.toThrow(TypeError);
    // What the failed restore left of it is repaired by ours.
    await restore(guest, saved);
    await runPulse(guest);
    expect(await wordAt(guest, PULSE.health)).not.toBe(2);
  });
});

describe('v86 memory', () => {
  it('is a plain array, and a new one after the emulator took more memory', async () => {
    const { guest, emulator } = await adopt();
    await runPulse(guest);
    await guest.pause();
    const before = guest.view(0)!;
    expect(Object.prototype.toString.call(before)).toBe('[object Uint8Array]');
    const copy = before.slice();
    (emulator.v86.cpu.wasm_memory as unknown as WebAssembly.Memory).grow(1);
    expect(before.length).toBe(0);
    expect(Buffer.compare(guest.view(0)!, copy)).toBe(0);
    await guest.resume();
    await runPulse(guest);
    await restore(guest, await save(guest));
  });

  it.each([true, false])('that was a page table is looked up anew, compiled: %s', async (compile) => {
    const guest = keep(await openProgram(PAGING, 0, { compile, tracking: 'none' }));
    await guest.start();
    await until(async () => (await wordAt(guest, 0x900)) > 20_000, 'rounds');
    // The first page of the high half moves from 5f000h to 70000h. A round writes it and the one before it.
    await guest.pause();
    guest.writePages({ region: 0, offsetBytes: 0x12000, lengthBytes: 4 }, Uint8Array.of(0x03, 0, 0x07, 0));
    const before = guest.view(0)!.slice(0x5f000, 0x60000);
    const from = new DataView(guest.view(0)!.slice(0x900, 0x904).buffer).getUint32(0, true);
    await guest.resume();
    await until(async () => (await wordAt(guest, 0x900)) > from + 20_000, 'more rounds');
    await paused(guest, () => {
      expect(Buffer.compare(guest.view(0)!.slice(0x5f000, 0x60000), before)).toBe(0);
      expect(
        guest
          .view(0)!
          .subarray(0x70000, 0x71000)
          .some((byte) => byte !== 0),
      ).toBe(true);
    });
  });

  it('that is written loses the code compiled from it, and only that', async () => {
    let cleared = 0;
    let compiled = 0;
    const guest = keep(
      await openProgram(
        PROGRAM,
        HOT_ENTRY,
        {},
        {
          instantiate: (program, imports) => {
            const env = imports.env as Record<string, (...args: number[]) => unknown>;
            const counting = {
              ...env,
              jit_clear_func: (index: number) => {
                cleared++;
                return env.jit_clear_func?.(index);
              },
              codegen_finalize: (...args: number[]) => {
                compiled++;
                return env.codegen_finalize?.(...args);
              },
            };
            return WebAssembly.instantiate(program, { env: counting });
          },
        },
      ),
    );
    await guest.start();
    await until(() => compiled > 0, 'compiled code');
    await until(async () => (await wordAt(guest, 0x520)) > 5_000_000, 'compiled code to run');
    await paused(guest, () => {
      const write = (address: number, bytes: number[]) =>
        guest.writePages(
          { region: 0, offsetBytes: address, lengthBytes: bytes.length },
          Uint8Array.from(bytes),
        );
      // The code that was compiled counts up; the new operand is -1.
      write(HOT_OPERAND, [0xff]);
      write(0x520, [0, 0, 0, 0]);
    });
    await until(async () => (await wordAt(guest, 0x520)) !== 0, 'the new code');
    expect(await wordAt(guest, 0x520)).toBeGreaterThan(0x8000_0000);
    await until(() => compiled > 1, 'the new code compiled');
    await until(async () => (await wordAt(guest, 0x520)) < 0xfff0_0000, 'it to run');
    const before = cleared;
    await restore(guest, await save(guest));
    expect(cleared).toBe(before);
  });

  it('must hold an initial RAM disk where v86 puts it', async () => {
    const image = { bytes: new Uint8Array(4096) };
    const opening = openPulse({ kernel: { image, initrd: image, commandLine: '' }, memoryBytes: 64 << 20 });
    await expect(opening).rejects.toMatchObject({
      code: 'argument-invalid',
      data: { least: (64 << 20) + 4096 },
    });
  });
});

describe('v86 as it is', () => {
  it('is the version that the adapter was written for', async () => {
    const { V86_VERSION } = await import('../../../src/guest/v86/index.ts');
    const manifest = new URL('../package.json', import.meta.resolve('v86'));
    expect(JSON.parse(readFileSync(manifest, 'utf8')).version).toBe(V86_VERSION);
  });

  it('is refused by name when a part is missing', async () => {
    const { emulator } = await adopt();
    const cpu = emulator.v86.cpu as unknown as Record<string, unknown>;
    const { jit_dirty_cache } = cpu;
    cpu.jit_dirty_cache = undefined;
    expect(() => adoptV86(emulator)).toThrow(
      expect.objectContaining({
        code: 'unsupported',
        data: expect.objectContaining({ missing: 'v86: v86.cpu.jit_dirty_cache' }),
      }),
    );
    cpu.jit_dirty_cache = jit_dirty_cache;
    expect(() => adoptV86({})).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });

  it('fails as a guest when it throws inside', async () => {
    const { guest, emulator } = await adopt();
    await guest.start();
    await untilUp(guest);
    (emulator.v86.cpu as unknown as { main_loop(): number }).main_loop = () => {
      throw new RangeError('on purpose');
    };
    await until(() => !guest.isStarted, 'the failure');
    await expect(guest.pause()).rejects.toMatchObject({
      code: 'guest-failed',
      cause: expect.any(RangeError),
    });
    await expect(guest.resume()).rejects.toMatchObject({ code: 'wrong-state' });
  });

  it('describes another machine as another one', async () => {
    const one = keep(await openPulse());
    const other = keep(await openPulse({ memoryBytes: 8 << 20, acpi: true, network: 'ne2k' }));
    const differing = Object.keys(other.machine.config).filter(
      (key) => other.machine.config[key] !== one.machine.config[key],
    );
    expect(differing.sort()).toEqual(['acpi', 'devices', 'memoryBytes']);
    const foreign = await save(other);
    await one.pause();
    expect(() => one.loadDevices(foreign.devices)).toThrow(
      expect.objectContaining({ code: 'guest-state-invalid' }),
    );
  });
});

async function lineOf(guest: V86Guest): Promise<string> {
  const length = await wordAt(guest, PULSE.lineLength);
  return paused(guest, () =>
    Buffer.from(guest.view(0)!.slice(PULSE.line, PULSE.line + length)).toString('latin1'),
  );
}
