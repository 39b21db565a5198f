// Programs that mark what they write, as guests: the suite that all guests pass, and a full compare after each run
// that finds no changed page without a mark. The same program without marks answers alike.

import { describe, expect, it } from 'vitest';
import { MIB } from '../../../src/base/limits.ts';
import type { Guest } from '../../../src/guest/guest.ts';
import { type MicroPythonGuest, openMicroPython } from '../../../src/guest/micropython/micropython.ts';
import { type CaughtInstance, instantiateCaught } from '../../../src/guest/wasm/catch-instance.ts';
import { WasmInstanceGuest } from '../../../src/guest/wasm/wasm-instance.ts';
import { instrument } from '../../../src/instrument/index.ts';
import { PageSet } from '../../../src/memory/page-set.ts';
import { guestConformance } from '../../../src/testing/guest-conformance.ts';
import { putInstant, takeInstant } from '../../../src/testing/guest-suites/instant.ts';
import { whilePaused } from '../../../src/testing/guest-suites/subject.ts';
import { Random } from '../../../src/testing/random.ts';
import { loadMicroPython, wasmUrl } from '../../support/micropython-loader.ts';
import { seedOfRun } from '../../support/seed.ts';
import { wat } from '../../support/wat.ts';
import { type ChurnExports, churnModule } from './churn.ts';

const churn = churnModule();

type Tracking = 'marks' | 'barrier';

async function openChurn(
  tracking: Tracking = 'marks',
  memory: 'private' | 'shared' = 'private',
): Promise<{
  guest: WasmInstanceGuest;
  exports: ChurnExports;
  caught: CaughtInstance;
}> {
  const { exports, caught } = await instantiateCaught(
    churn,
    { env: { host: () => {} } },
    { tracking, memory },
  );
  const guest = new WasmInstanceGuest(caught, { program: 'churn' });
  return { guest, exports: exports as unknown as ChurnExports, caught };
}

const WAYS = (['marks', 'barrier'] as const).flatMap((tracking) =>
  (['private', 'shared'] as const).map((memory) => ({ tracking, memory })),
);

for (const { tracking, memory } of WAYS) {
  guestConformance(
    `WebAssembly instance with ${tracking} in ${memory} memory that grows`,
    async () => {
      const { guest, exports } = await openChurn(tracking, memory);
      const run = async () => {
        exports.grow();
        return String(exports.run(1000));
      };
      return { guest, run, exact: false };
    },
    { describe, expect, it },
  );

  guestConformance(
    `WebAssembly instance with ${tracking} in ${memory} memory`,
    async () => {
      const { guest, exports } = await openChurn(tracking, memory);
      return { guest, run: async () => String(exports.run(1000)) };
    },
    { describe, expect, it },
  );
}

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

describe.each(WAYS)('a program with $tracking in $memory memory', ({ tracking, memory }) => {
  it('marks what it changes, as it grows too', async () => {
    const { guest, exports } = await openChurn(tracking, memory);
    expect(guest.traits).toMatchObject({ tracking, sharedMemory: memory === 'shared' });
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
    const { exports, caught } = await openChurn(tracking, memory);
    expect(exports.sizes()).toBe(1001);
    expect(Object.keys(exports).filter((name) => name.startsWith('vitrine:'))).toEqual([]);
    expect(caught.internals.memory).toMatchObject({ minPages: 1, maxPages: 6 });
  });

  it('marks what the host says it wrote, and what is put into it', async () => {
    const { guest } = await openChurn(tracking, memory);
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

  it('marks exactly what it wrote before a trap', async () => {
    const module = wat(`(module (memory (export "memory") 1 2)
      (func (export "trap") (param i32) (i32.store (local.get 0) (i32.const 1)) (unreachable)))`);
    const { exports, caught } = await instantiateCaught(module, {}, { tracking, memory });
    const guest = new WasmInstanceGuest(caught, { program: 'trap' });
    const result = await changesOf(guest, () =>
      expect(() => (exports.trap as (at: number) => void)(5_000)).toThrow(WebAssembly.RuntimeError),
    );
    expect(result).toEqual({ changed: 1, marked: 1, missed: [] });
  });

  it('may have been instrumented before, by a build', async () => {
    const { bytes } = instrument(churn, {
      ...(tracking === 'marks' ? { marks: true } : { barriers: true }),
      ...(memory === 'shared' ? { shared: { maximumPages: 6 } } : {}),
    });
    const { exports, caught } = await instantiateCaught(bytes, { env: { host: () => {} } });
    const guest = new WasmInstanceGuest(caught, { program: 'churn' });
    expect(guest.traits).toMatchObject({ tracking, sharedMemory: memory === 'shared' });
    expect(Object.keys(exports).filter((name) => name.startsWith('vitrine:'))).toEqual([]);
    // Safe: they are the program's.
    const { run, grow } = exports as unknown as ChurnExports;
    const result = await changesOf(guest, () => {
      grow();
      run(100);
    });
    expect(result.missed).toEqual([]);
    expect(result.changed).toBeGreaterThan(0);
    // The map is no state of the program: what is saved goes into an instance with a map elsewhere.
    const saved = await whilePaused(guest, () => takeInstant(guest));
    const other = await instantiateCaught(bytes, { env: { host: () => {} } });
    const target = new WasmInstanceGuest(other.caught, { program: 'churn' });
    await whilePaused(target, () => putInstant(target, saved));
    expect((other.exports as unknown as ChurnExports).run(50)).toBe(run(50));
    const wrong = tracking === 'marks' ? 'barrier' : 'marks';
    await expect(
      instantiateCaught(bytes, { env: { host: () => {} } }, { tracking: wrong }),
    ).rejects.toMatchObject({ code: 'argument-invalid' });
  });

  it('is refused with an imported memory', async () => {
    const module = wat('(module (import "env" "memory" (memory 1 2)) (func (export "f")))');
    const env = { memory: new WebAssembly.Memory({ initial: 1, maximum: 2 }) };
    await expect(instantiateCaught(module, { env }, { tracking, memory })).rejects.toMatchObject({
      code: 'unsupported',
    });
  });

  it('wants the page size of its guest', async () => {
    const { caught } = await openChurn(tracking, memory);
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

describe.each(WAYS)('MicroPython with $tracking in $memory memory', ({ tracking, memory }) => {
  it('answers as without marks, and marks all that changed', async () => {
    const open = (how: 'none' | Tracking): Promise<MicroPythonGuest> =>
      openMicroPython({
        loadMicroPython,
        wasmUrl,
        tracking: how,
        memory: how === 'none' ? 'private' : memory,
        maxMemoryBytes: 32 * MIB,
      });
    const guests = { none: await open('none'), marks: await open(tracking) };
    const printed = { none: '', marks: '' };
    for (const one of ['none', 'marks'] as const) {
      guests[one].onOutput((bytes) => (printed[one] += new TextDecoder().decode(bytes)));
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
      [{ tracking, memory }, { tracking: 'none' as const }].map((how) =>
        openMicroPython({ loadMicroPython, wasmUrl, ...how }),
      ),
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

describe('an instant of MicroPython, read while it works', () => {
  it.each([0, 64 * 1024, 32 * MIB])(
    'is the one at which its barrier was armed, with a ring of %i bytes',
    async (ringBytes) => {
      const guest = await openMicroPython({ loadMicroPython, wasmUrl, tracking: 'barrier' });
      const { pageBytes, sizeBytes } = guest.regions[0]!;
      const pages = sizeBytes / pageBytes;
      const copy = new Uint8Array(sizeBytes);
      const random = new Random(seedOfRun());
      for (const lines of WORKLOAD) {
        const barrier = guest.openBarrier({ ringBytes, clock: { nowMs: () => 0, wallMs: () => 0 } });
        const left = new Set(Array.from({ length: pages }, (_, page) => page));
        const keep = (page: number, bytes: Uint8Array): void => {
          expect(left.delete(page)).toBe(true);
          copy.fill(0, page * pageBytes, (page + 1) * pageBytes);
          copy.set(bytes, page * pageBytes);
        };
        const truth = await whilePaused(guest, async () => {
          barrier.arm([PageSet.all(pages)], (_, page, bytes) => keep(page, bytes));
          return imageOf(guest);
        });
        // Some pages before the work, the others after it.
        const read = (part: number): void => {
          for (const page of [...left]) {
            if (random.below(100) >= part) continue;
            const bytes = barrier.view(0).slice(page * pageBytes, (page + 1) * pageBytes);
            if (barrier.release(0, page)) keep(page, bytes);
          }
          while (barrier.drain(100) > 0);
        };
        read(30);
        await guest.paste(lines);
        read(100);
        expect([...left], lines).toEqual([]);
        expect(Buffer.compare(copy, truth), lines).toBe(0);
        expect(barrier.figures().copiedAside).toBeGreaterThan(0);
        barrier.close();
      }
      await guest.close();
    },
  );
});
