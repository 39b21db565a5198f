// What instrumenting costs a program: MicroPython, a Game Boy and DOSBox, as they are published, with marks, and with barriers,
// taking turns with the same work. MicroPython and the Game Boy are without a guest where they are the peer; DOSBox has one
// there too, whose gate it passes 700 times a second. The map is cleared before each turn, so that every page is touched anew.

import { GlueGlobals } from '../../src/guest/micropython/glue-globals.ts';
import { KEY, type MicroPythonGuest, openMicroPython } from '../../src/guest/micropython/micropython.ts';
import { clearMarks, type MapLayout } from '../../src/instrument/index.ts';
import { openDosBox } from '../instrument/dos-box.ts';
import { openGameBoy } from '../instrument/game-boy.ts';
import { loadMicroPython, wasmUrl } from '../support/micropython-loader.ts';
import { type BenchResult, takeTurns } from './row.ts';

const ROUNDS = 11;
/** What each way to instrument may cost. */
const GOALS = { marks: 1.1, barriers: 1.25 } as const;

/** How long one turn of the work takes, in milliseconds. */
interface Contestants {
  readonly plain: () => Promise<number> | number;
  readonly marks: () => Promise<number> | number;
  readonly barriers: () => Promise<number> | number;
}

export async function instrumentedResults(): Promise<BenchResult[]> {
  return [...(await pythonResults()), ...(await gameBoyResults()), ...(await dosBoxResults())];
}

const PYTHON: Readonly<Record<string, string>> = {
  calls: 'def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nfib(19)\n',
  dictionaries: 'd = {}\nfor i in range(20000):\n    d[i % 701] = (i, i * 0.5)\n',
  strings: 'x = len("".join([str(i) * 3 for i in range(6000)]))\n',
  bytes: 'b = bytearray(60000)\nfor i in range(60000): b[i] = i & 255\n',
  collection:
    'import gc\nclass N:\n    def __init__(s, n): s.n = n\nh = None\nfor i in range(3000): h = N(h)\ngc.collect()\n',
};

const PYTHON_HEAP_BYTES = 8 * 2 ** 20;

async function pythonResults(): Promise<BenchResult[]> {
  const open = (tracking: 'marks' | 'barrier'): Promise<MicroPythonGuest> =>
    openMicroPython({ loadMicroPython, wasmUrl, tracking, heapBytes: PYTHON_HEAP_BYTES });
  const published = await openPublishedPython();
  const guests = { marks: await open('marks'), barriers: await open('barrier') };
  const timed = async (guest: MicroPythonGuest, code: string): Promise<number> => {
    await guest.pause();
    guest.takeDirty().commit();
    await guest.resume();
    return timeOf(() => guest.paste(code));
  };
  const results: BenchResult[] = [];
  const sums = { plain: 0, marks: 0, barriers: 0 };
  for (const [name, code] of Object.entries(PYTHON)) {
    const ms = await takeTurns(ROUNDS, {
      plain: () => timeOf(async () => published(code)),
      marks: () => timed(guests.marks, code),
      barriers: () => timed(guests.barriers, code),
    });
    for (const key of ['plain', 'marks', 'barriers'] as const) sums[key] += ms[key];
    results.push(...ratios(`MicroPython, ${name}`, ms));
  }
  for (const guest of Object.values(guests)) await guest.close();
  return [...results, ...ratios('MicroPython, all work', sums)];
}

/** MicroPython as its own loader brings it up, without a guest around it: runs some lines. */
async function openPublishedPython(): Promise<(code: string) => void> {
  const globals = new GlueGlobals();
  const python = await globals.load(() =>
    loadMicroPython({
      url: wasmUrl,
      heapsize: PYTHON_HEAP_BYTES,
      pystack: 2048,
      linebuffer: false,
      stdin: () => null,
      stdout: () => {},
      stderr: () => {},
    }),
  );
  globals.run(() => python.replInit());
  return (code) => {
    const keys = KEY.paste + code.replaceAll('\n', KEY.enter) + KEY.endOfPaste;
    for (const byte of new TextEncoder().encode(keys)) globals.run(() => python.replProcessChar(byte));
  };
}

async function timeOf(work: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

async function gameBoyResults(): Promise<BenchResult[]> {
  const machines = {
    plain: await openGameBoy('bench-plain'),
    marks: await openGameBoy('bench-marks', 'marks'),
    barriers: await openGameBoy('bench-barriers', 'barriers'),
  };
  for (const machine of Object.values(machines)) machine.frames(300);
  const timed = ({ memory, instrumented, frames }: (typeof machines)['plain']): number => {
    if (instrumented !== undefined) clearMarks(memory.buffer, instrumented.map);
    const startMs = performance.now();
    frames(120);
    return performance.now() - startMs;
  };
  return measured('Game Boy, 120 frames', {
    plain: () => timed(machines.plain),
    marks: () => timed(machines.marks),
    barriers: () => timed(machines.barriers),
  });
}

async function dosBoxResults(): Promise<BenchResult[]> {
  const machines = {
    plain: await openDosBox('none'),
    marks: await openDosBox('marks'),
    barriers: await openDosBox('barrier'),
  };
  type Machine = (typeof machines)['plain'];
  const mapOf = ({ caught }: Machine): MapLayout | undefined => caught.marked?.layout;
  const untilLoops = async (machine: Machine, more: number): Promise<void> => {
    const goal = machine.loops() + more;
    while (machine.loops() < goal) await new Promise((next) => setTimeout(next, 2));
  };
  for (const machine of Object.values(machines)) {
    await untilLoops(machine, 10_000);
    machine.commands.pause();
  }
  /** Milliseconds for a million loops, as many as it does in half a second. */
  const timed = async (machine: Machine): Promise<number> => {
    const map = mapOf(machine);
    machine.commands.resume();
    if (map !== undefined) clearMarks(machine.memory.buffer, map);
    const [startMs, first] = [performance.now(), machine.loops()];
    await new Promise((next) => setTimeout(next, 500));
    const [ms, count] = [performance.now() - startMs, machine.loops() - first];
    machine.commands.pause();
    return (ms / count) * 1e6;
  };
  const results = await measured('DOSBox, a million loops', {
    plain: () => timed(machines.plain),
    marks: () => timed(machines.marks),
    barriers: () => timed(machines.barriers),
  });
  for (const { commands } of Object.values(machines)) {
    commands.resume();
    await commands.exit();
  }
  return results;
}

async function measured(work: string, contestants: Contestants): Promise<BenchResult[]> {
  return ratios(work, await takeTurns(ROUNDS, { ...contestants }));
}

function ratios(work: string, ms: { plain: number; marks: number; barriers: number }): BenchResult[] {
  return (['marks', 'barriers'] as const).map((how) => ({
    name: `${work}, instrumented with ${how}, vs unmodified`,
    value: ms[how] / ms.plain,
    unit: 'x',
    better: 'lower',
    goal: GOALS[how],
    ours: ms[how],
    peer: ms.plain,
  }));
}
