// Programs that mark what they write, as guests: the suite that all guests pass, and a full compare after each run
// that finds no changed page without a mark. The same program without marks answers alike.

import { describe, expect, it } from 'vitest';
import { MIB } from '../../../src/base/limits.ts';
import type { Guest } from '../../../src/guest/guest.ts';
import { type MicroPythonGuest, openMicroPython } from '../../../src/guest/micropython/micropython.ts';
import { type CaughtInstance, instantiateCaught } from '../../../src/guest/wasm/catch-instance.ts';
import { WasmInstanceGuest } from '../../../src/guest/wasm/wasm-instance.ts';
import { guestConformance } from '../../../src/testing/guest-conformance.ts';
import { putInstant, takeInstant } from '../../../src/testing/guest-suites/instant.ts';
import { whilePaused } from '../../../src/testing/guest-suites/subject.ts';
import { loadMicroPython, wasmUrl } from '../../support/micropython-loader.ts';
import { wat } from '../../support/wat.ts';
import { type ChurnExports, churnModule } from './churn.ts';

const churn = churnModule();

async function openChurn(): Promise<{
  guest: WasmInstanceGuest;
  exports: ChurnExports;
  caught: CaughtInstance;
}> {
  const { exports, caught } = await instantiateCaught(
    churn,
    { env: { host: () => {} } },
    { tracking: 'marks' },
  );
  const guest = new WasmInstanceGuest(caught, { program: 'churn' });
  return { guest, exports: exports as unknown as ChurnExports, caught };
}

guestConformance(
  'WebAssembly instance that marks and grows',
  async () => {
    const { guest, exports } = await openChurn();
    const run = async () => {
      exports.grow();
      return String(exports.run(1000));
    };
    return { guest, run, exact: false };
  },
  { describe, expect, it },
);

guestConformance(
  'WebAssembly instance that marks',
  async () => {
    const { guest, exports } = await openChurn();
    return { guest, run: async () => String(exports.run(1000)) };
  },
  { describe, expect, it },
);

/** All of region 0. Only while paused. */
async function imageOf(guest: Guest): Promise<Uint8Array> {
  const image = new Uint8Array(guest.regions[0]!.sizeBytes);
  await guest.readPages({ region: 0, offsetBytes: 0, lengthBytes: image.length }, image);
  return image;
}

/** Pages that changed while `run` ran, and those of them without a mark. */
async function changesOf(
  guest: Guest,
  run: () => unknown,
): Promise<{ changed: number; marked: number; missed: number[] }> {
  const { pageBytes } = guest.regions[0]!;
  const before = await whilePaused(guest, () => {
    guest.takeDirty().commit();
    return imageOf(guest);
  });
  await run();
  return whilePaused(guest, async () => {
    const after = await imageOf(guest);
    const take = guest.takeDirty();
    take.commit();
    const pages = take.pages[0]!;
    const missed: number[] = [];
    let changed = 0;
    for (let page = 0; page * pageBytes < after.length; page++) {
      const at = page * pageBytes;
      if (Buffer.compare(before.subarray(at, at + pageBytes), after.subarray(at, at + pageBytes)) === 0)
        continue;
      changed++;
      if (!pages.has(page)) missed.push(page);
    }
    return { changed, marked: pages.size, missed };
  });
}

describe('a program that marks', () => {
  it('marks what it changes, as it grows too', async () => {
    const { guest, exports } = await openChurn();
    expect(guest.traits.tracking).toBe('marks');
    let changed = 0;
    for (let round = 0; round < 12; round++) {
      const result = await changesOf(guest, () => {
        exports.grow();
        exports.run(1 + round * 50);
      });
      expect(result.missed).toEqual([]);
      changed += result.changed;
    }
    expect(changed).toBeGreaterThan(12);
  });

  it('shows its host the memory by its own size, and none of the added exports', async () => {
    const { exports, caught } = await openChurn();
    expect(exports.sizes()).toBe(1001);
    expect(Object.keys(exports).filter((name) => name.startsWith('vitrine:'))).toEqual([]);
    expect(caught.internals.memory).toMatchObject({ minPages: 1, maxPages: 6 });
  });

  it('marks what the host says it wrote, and what is put into it', async () => {
    const { guest } = await openChurn();
    const marks = await changesOf(guest, () => guest.markWritten(8_191, 2));
    expect(marks).toMatchObject({ marked: 2 });
    const put = await changesOf(guest, () =>
      whilePaused(guest, () =>
        guest.writePages(
          { region: 0, offsetBytes: 4_096, lengthBytes: 4_096 },
          new Uint8Array(4_096).fill(7),
        ),
      ),
    );
    expect(put).toEqual({ changed: 1, marked: 1, missed: [] });
  });

  it('takes every page as written after a trap', async () => {
    const module = wat(`(module (memory (export "memory") 1 2)
      (func (export "trap") (param i32) (i32.store (local.get 0) (i32.const 1)) (unreachable)))`);
    const { exports, caught } = await instantiateCaught(module, {}, { tracking: 'marks' });
    const guest = new WasmInstanceGuest(caught, { program: 'trap' });
    const result = await changesOf(guest, () =>
      expect(() => (exports.trap as (at: number) => void)(5_000)).toThrow(WebAssembly.RuntimeError),
    );
    expect(result).toEqual({ changed: 1, marked: 16, missed: [] });
  });

  it('is refused with an imported memory', async () => {
    const module = wat('(module (import "env" "memory" (memory 1 2)) (func (export "f")))');
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2 });
    await expect(instantiateCaught(module, { env: { memory } }, { tracking: 'marks' })).rejects.toMatchObject(
      { code: 'unsupported' },
    );
  });

  it('wants the page size of its guest', async () => {
    const { caught } = await openChurn();
    expect(() => new WasmInstanceGuest(caught, { program: 'churn', pageBytes: 1_024 })).toThrow(
      expect.objectContaining({ code: 'argument-invalid' }),
    );
  });
});

const WORKLOAD = [
  'import gc\n',
  'def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nprint(fib(15))\n',
  'words = [str(i) * 3 for i in range(3000)]\nprint(len("".join(words)))\n',
  'table = {}\nfor i in range(8000):\n    table[i % 701] = (i, i * 0.5)\nprint(table[350])\n',
  'data = bytearray(300000)\nfor i in range(0, 300000, 997): data[i] = i & 255\nprint(sum(data))\n',
  'del words, data\ngc.collect()\nprint(gc.mem_free() > 0)\n',
  'class Node:\n    def __init__(self, n): self.next = n\nhead = None\nfor i in range(2000): head = Node(head)\n',
  'big = [bytearray(100000) for _ in range(40)]\nprint(len(big))\n',
  'with open("/note.txt", "w") as f:\n    f.write("hello " * 5000)\nprint(len(open("/note.txt").read()))\n',
  'try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    print(e)\n',
  'import js\nprint(js.Math.max(3, 9), js.String("abc" * 50).length)\n',
];

describe('MicroPython that marks', () => {
  it('answers as without marks, and marks all that changed', async () => {
    const open = (tracking: 'none' | 'marks'): Promise<MicroPythonGuest> =>
      openMicroPython({ loadMicroPython, wasmUrl, tracking, maxMemoryBytes: 32 * MIB });
    const guests = { none: await open('none'), marks: await open('marks') };
    const printed = { none: '', marks: '' };
    for (const tracking of ['none', 'marks'] as const) {
      guests[tracking].onOutput((bytes) => (printed[tracking] += new TextDecoder().decode(bytes)));
    }
    let [changed, marked] = [0, 0];
    for (const lines of WORKLOAD) {
      await guests.none.paste(lines);
      const result = await changesOf(guests.marks, () => guests.marks.paste(lines));
      expect(result.missed, lines).toEqual([]);
      changed += result.changed;
      marked += result.marked;
    }
    expect(printed.marks).toBe(printed.none);
    expect(printed.marks).toContain('610');
    expect(changed).toBeGreaterThan(300);
    // Much is written that holds the same bytes afterwards; but far from all of 11 times 8,192 pages.
    expect(marked).toBeLessThan(changed * 5);
    // The memories are alike too.
    const [one, other] = await Promise.all(
      [guests.none, guests.marks].map((guest) => whilePaused(guest, () => imageOf(guest))),
    );
    expect(Buffer.compare(one!, other!)).toBe(0);
    if (process.env.VERBOSE) console.log({ changed, marked });
  });

  it('goes on in an instance without marks', async () => {
    const [source, target] = await Promise.all(
      (['marks', 'none'] as const).map((tracking) => openMicroPython({ loadMicroPython, wasmUrl, tracking })),
    );
    await source!.paste('x = 6 * 7\n');
    const saved = await whilePaused(source!, () => takeInstant(source!));
    await whilePaused(target!, () => putInstant(target!, saved));
    let printed = '';
    target!.onOutput((bytes) => (printed += new TextDecoder().decode(bytes)));
    await target!.type('print(x)\r');
    expect(printed).toContain('42');
  });
});
