// QEMU killed, and QEMU that stops answering, at each command of its monitor that saving and bringing back consists of; memory
// that somebody cuts off; a store without room. The work ends with an error that says so, every snapshot stays whole, and
// the machine goes on from the last one exactly.

import { truncateSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { faulty } from '../support/faulty-store.ts';
import { SwitchStore } from '../support/switch-store.ts';
import { letRun, pulseProfile, pulseRomFile, QEMUS, ramOf, readPulse } from './pulse-machine.ts';

const MEMORY_BYTES = 4 * MIB;
/** Where a QEMU that never answers is waited for: what is waited for otherwise is no test's time. */
const STALL_MS = 300;

/** Said when all is done, and nobody waits for its answer: what befalls it is the next call's. */
const ASIDE = 'job-dismiss';

type Verb = (machine: QemuMachine) => Promise<unknown>;

describe.each(QEMUS)('faults of QEMU $version', ({ program }) => {
  let rom: Awaited<ReturnType<typeof pulseRomFile>>;
  let store: SwitchStore;
  let vitrine: Vitrine;
  let snapshot: string;
  let ramThen: Buffer;
  let then: Awaited<ReturnType<typeof readPulse>>;
  const opened: QemuMachine[] = [];

  const open = async (from?: string): Promise<QemuMachine> => {
    const profile = pulseProfile(program, rom.bios, { memoryBytes: MEMORY_BYTES });
    const options = from === undefined ? {} : { snapshot: from };
    const machine = await openQemuMachine('pulse', profile, vitrine, options);
    opened.push(machine);
    return machine;
  };

  beforeAll(async () => {
    rom = await pulseRomFile();
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    store = new SwitchStore(openMemoryStore());
    vitrine = await openEngine({ store, kernels, codecs });
    const first = await open();
    await first.start();
    await letRun(first, 20);
    await first.stop();
    snapshot = (await first.machine.save()).snapshot.id;
    ramThen = ramOf(first);
    then = await readPulse(first.guest);
  });
  afterEach(async () => {
    for (const machine of opened.splice(0)) {
      if (machine.process.pid !== undefined) end(machine.process.pid);
      await machine.close();
    }
  });
  afterAll(async () => {
    await vitrine?.close();
    await rom?.remove();
  });

  const verbs: Readonly<Record<string, Verb>> = {
    save: ({ machine }) => machine.save(),
    restore: ({ machine }) => machine.restore(snapshot),
    checkpoint: ({ machine }) => machine.checkpoint(),
    reset: ({ machine }) => machine.reset(),
  };
  /** Up to the verb: it runs, and has a checkpoint where the verb needs one. */
  const prepare = async (name: string): Promise<QemuMachine> => {
    const machine = await open(snapshot);
    if (name === 'reset') await machine.machine.checkpoint();
    await machine.start();
    await letRun(machine, 5);
    return machine;
  };
  const expectWhole = async (): Promise<void> => {
    for (const { id } of await vitrine.log()) expect((await vitrine.verify(id)).damaged).toEqual([]);
    const next = await open(snapshot);
    expect(ramOf(next).equals(ramThen)).toBe(true);
    expect(await readPulse(next.guest)).toEqual(then);
    await next.start();
    await letRun(next, 5);
  };

  describe.each(Object.keys(verbs))('during %s', (name) => {
    const verb = verbs[name]!;

    it('killed before each command, it is lost and nothing else is', async () => {
      const count = await commandsOf(await prepare(name), verb);
      expect(count).toBeGreaterThan(2);
      for (let step = 0; step < count; step++) {
        const machine = await prepare(name);
        interpose(machine, (at, options) => {
          if (at === step) end(machine.process.pid);
          return options;
        });
        expect(await codeOf(() => verb(machine)), `step ${step} of ${count}`).toBe('guest-lost');
        expect(await machine.lost).toMatchObject({ code: 'guest-lost', data: { signal: 'SIGKILL' } });
      }
      await expectWhole();
    });

    it('silent at each command, it is given up, and nothing is lost', async () => {
      const count = await commandsOf(await prepare(name), verb);
      for (let step = 0; step < count; step++) {
        const machine = await prepare(name);
        interpose(machine, (at, options) => {
          if (at === step) process.kill(machine.process.pid, 'SIGSTOP');
          return at >= step ? { ...options, timeoutMs: STALL_MS } : options;
        });
        expect(await codeOf(() => verb(machine)), `step ${step} of ${count}`).toBe('guest-timeout');
        end(machine.process.pid);
      }
      await expectWhole();
    });
  });

  it('whose RAM file was cut off fails by name, and the snapshots stay', async () => {
    const machine = await prepare('save');
    await machine.stop();
    truncateSync(machine.process.files.ram, MEMORY_BYTES / 2);
    expect(await codeOf(() => machine.machine.save({ full: true }))).toBeOneOf([
      'guest-failed',
      'guest-lost',
    ]);
    await expectWhole();
  });

  it('runs on when the store has no room, and is saved when it has', async () => {
    const machine = await prepare('save');
    const roomy = store.target;
    store.target = faulty(roomy, 'E', { code: 'store-full', only: ['put'] });
    expect(await codeOf(() => machine.machine.save())).toBe('store-full');
    expect(await machine.guest.isRunning()).toBe(true);
    await letRun(machine, 5);
    store.target = roomy;
    const { id } = (await machine.machine.save()).snapshot;
    await letRun(machine, 5);
    await machine.machine.restore(id);
    await letRun(machine, 5);
    await vitrine.delete([id]);
    await expectWhole();
  });
});

type Options = { readonly timeoutMs?: number } | undefined;

/** Sees each command of the monitor before it is sent, counted from 0. */
function interpose(machine: QemuMachine, see: (at: number, options: Options) => Options): void {
  const { qmp } = machine.process;
  const execute = qmp.execute.bind(qmp) as (...args: unknown[]) => Promise<unknown>;
  let at = 0;
  Object.defineProperty(qmp, 'execute', {
    value: (command: string, args: unknown, options: Options) =>
      execute(command, args, command === ASIDE ? options : see(at++, options)),
  });
}

/** How many commands a verb takes that nothing befalls. */
async function commandsOf(machine: QemuMachine, verb: Verb): Promise<number> {
  let count = 0;
  interpose(machine, (at, options) => {
    count = at + 1;
    return options;
  });
  await verb(machine);
  return count;
}

/** Ends a process that may be gone already. */
function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was.
  }
}
