// The processes of a Linux guest, from the list that its kernel keeps. Kernels differ in where in a task its fields are, and
// most have no description of that in memory; but the first tasks are known (0 is `swapper`, 1 is init, 2 is kthreadd, each
// with the other's number and parent), so the places are found by what they hold, and checked by walking the whole list.
//
// A place that is not found for certain is an error and never a guess.

import { VitrineError } from '../../base/error.ts';
import type { LinuxKernel } from './linux-kernel.ts';
import { textIn, type VirtualMemory } from './virtual-memory.ts';

export interface Process {
  readonly pid: number;
  readonly parent: number;
  /** At most 15 characters: the kernel's name for it. */
  readonly name: string;
  /** Where its task is. */
  readonly address: bigint;
}

/** Tasks are smaller; what follows them in memory is not looked at. */
const TASK_BYTES = 8192;
const NAME_BYTES = 16;
/** What a guest can make us do: places where the first task might be, and links followed in all. */
const MAX_CANDIDATES = 1000;
const MAX_LINKS = 500_000;
const MAX_PROCESSES = 65_536;
const SWAPPER = Buffer.from(new TextEncoder().encode('swapper/0\0'));

/** What is left of `MAX_LINKS`. */
interface Budget {
  links: number;
}

interface Places {
  readonly tasks: number;
  readonly pid: number;
  readonly parent: number;
  readonly name: number;
}

/** Every process, by its number. Throws `unsupported` where the places of a task's fields are not found for certain. */
export async function readProcesses(kernel: LinuxKernel): Promise<Process[]> {
  const { memory } = kernel;
  const budget: Budget = { links: MAX_LINKS };
  const { first, places } = await findTasks(kernel, budget);
  const processes: Process[] = [];
  for (const address of await tasksOf(memory, first, places.tasks, budget)) {
    const pid = await memory.u32(address + BigInt(places.pid));
    const parent = await memory.u32(
      (await memory.long(address + BigInt(places.parent))) + BigInt(places.pid),
    );
    const name = await memory.text(address + BigInt(places.name), NAME_BYTES);
    processes.push({ pid, parent, name, address });
  }
  return processes.sort((a, b) => a.pid - b.pid);
}

/** The first task and its places. It is a symbol in some kernels; in others its name is looked for. */
async function findTasks(kernel: LinuxKernel, budget: Budget): Promise<{ first: bigint; places: Places }> {
  const { memory } = kernel;
  for await (const { first, name } of firstTasks(kernel)) {
    const places = await findPlaces(memory, first, name, budget).catch((error: unknown) => {
      if (error instanceof VitrineError && error.code === 'span-out-of-range') return undefined;
      throw error;
    });
    if (places !== undefined) return { first, places };
  }
  throw missing('the list of tasks');
}

/** Where the first task may be, and where in it its name. */
async function* firstTasks(kernel: LinuxKernel): AsyncGenerator<{ first: bigint; name: number }> {
  const { memory } = kernel;
  const word = memory.pointerBytes;
  let candidates = 0;
  for await (const { address, bytes } of memory.physical.pieces()) {
    const piece = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = piece.indexOf(SWAPPER); at >= 0; at = piece.indexOf(SWAPPER, at + 1)) {
      const name = kernel.imageAddress(address + at);
      if (name % BigInt(word) !== 0n) continue;
      if (++candidates > MAX_CANDIDATES) return;
      const before = await memory.read(name - BigInt(TASK_BYTES), TASK_BYTES).catch(() => undefined);
      if (before === undefined) continue;
      // It is its own parent, twice, and the leader of its group.
      const counts = new Map<bigint, number>();
      for (const pointer of pointersIn(before, word)) {
        if (pointer < name && name - pointer < BigInt(TASK_BYTES)) {
          counts.set(pointer, (counts.get(pointer) ?? 0) + 1);
        }
      }
      for (const [first, count] of counts) if (count >= 3) yield { first, name: Number(name - first) };
    }
  }
}

function* pointersIn(bytes: Uint8Array, word: 4 | 8): Generator<bigint> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + word <= bytes.length; at += word) {
    yield word === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
  }
}

async function findPlaces(
  memory: VirtualMemory,
  first: bigint,
  name: number,
  budget: Budget,
): Promise<Places | undefined> {
  const word = memory.pointerBytes;
  const task = await memory.read(first, TASK_BYTES);
  const found: Places[] = [];
  for (let tasks = 0; tasks + 2 * word <= name; tasks += word) {
    const list = await listAt(memory, first, tasks, budget);
    if (list === undefined || list.length < 2) continue;
    // The list goes around, and every member has a name where the first one has it.
    const others = await Promise.all(
      list.slice(0, 2).map((address) => memory.read(address, TASK_BYTES).catch(() => undefined)),
    );
    const [init, kthreadd] = others;
    if (init === undefined || kthreadd === undefined) continue;
    if (!/^[\x20-\x7e]+$/.test(textIn(init.subarray(name, name + NAME_BYTES)))) continue;
    if (textIn(kthreadd.subarray(name, name + NAME_BYTES)) !== 'kthreadd') continue;
    const pid = pidIn(task, init, kthreadd, name);
    if (pid === undefined) continue;
    const parent = parentIn([task, init, kthreadd], first, pid + 8, name, word);
    if (parent !== undefined) found.push({ tasks, pid, parent, name });
  }
  const [places, other] = found;
  if (other !== undefined) throw missing('one list of tasks, not several');
  return places;
}

/** Where 0, 1 and 2 stand twice, one after the other: a task's own number, and that of its group. */
function pidIn(task: Uint8Array, init: Uint8Array, kthreadd: Uint8Array, end: number): number | undefined {
  const at = (bytes: Uint8Array, offset: number): number =>
    new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset, true);
  const isPid = (offset: number): boolean =>
    at(task, offset) === 0 && at(init, offset) === 1 && at(kthreadd, offset) === 2;
  for (let offset = 0; offset + 8 <= end; offset += 4) {
    if (isPid(offset) && isPid(offset + 4)) return offset;
  }
  return undefined;
}

/** Where all three name the first one: their parent. */
function parentIn(
  tasks: readonly Uint8Array[],
  first: bigint,
  start: number,
  end: number,
  word: 4 | 8,
): number | undefined {
  const at = (bytes: Uint8Array, offset: number): bigint => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return word === 8 ? view.getBigUint64(offset, true) : BigInt(view.getUint32(offset, true));
  };
  for (let offset = Math.ceil(start / word) * word; offset + word <= end; offset += word) {
    if (tasks.every((task) => at(task, offset) === first)) return offset;
  }
  return undefined;
}

/** The members of a list but its head, in order; undefined where it is none, or one that does not come back. */
async function listAt(
  memory: VirtualMemory,
  head: bigint,
  place: number,
  budget: Budget,
): Promise<bigint[] | undefined> {
  const offset = BigInt(place);
  const members: bigint[] = [];
  let link = head + offset;
  try {
    for (;;) {
      const next = await memory.long(link);
      // Each member points back at the one before.
      if ((await memory.long(next + BigInt(memory.pointerBytes))) !== link) return undefined;
      if (next === head + offset) return members;
      if (members.length >= MAX_PROCESSES || --budget.links < 0) return undefined;
      members.push(next - offset);
      link = next;
    }
  } catch (error) {
    if (error instanceof VitrineError) return undefined;
    throw error;
  }
}

async function tasksOf(
  memory: VirtualMemory,
  first: bigint,
  place: number,
  budget: Budget,
): Promise<bigint[]> {
  const list = await listAt(memory, first, place, budget);
  if (list === undefined) throw missing('a list of tasks that holds still');
  return list;
}

function missing(what: string): VitrineError {
  return new VitrineError('unsupported', { missing: what });
}
