// A machine that runs before its RAM is there: its devices are loaded, and pages come from the store as it touches them. To QEMU
// we are the source of a postcopy migration; it needs userfaultfd, so root, or vm.unprivileged_userfaultfd = 1.
//
//   launched ─▶ loaded: it can run ─▶ whole: all RAM is there, and it is a machine as any other
//
// Until it is whole it cannot be saved, reset or peeked: its RAM file has holes where pages have not come yet.

import { dirname } from 'node:path';
import { SYSTEM_CLOCK } from '../../base/clock.ts';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import type { SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import type { DeviceRecord } from '../../guest/guest.ts';
import type { LoadedState } from './clone-ram.ts';
import { comeToRest } from './come-to-rest.ts';
import { reachesOutside } from './outside-arguments.ts';
import {
  type PageRef,
  type PageReport,
  type PageServer,
  type PageSource,
  servePages,
} from './page-server.ts';
import type { QemuProcess } from './process.ts';
import { type QemuProfile, resolveProfile } from './profile.ts';
import {
  type AdoptOptions,
  adoptProcess,
  type LaunchedParts,
  type QemuMachine,
  type QemuMachineOptions,
} from './qemu-machine.ts';
import type { Qmp } from './qmp.ts';
import { openRunRoot } from './run-directory.ts';
import { readSavedMachine, type SavedMachine } from './saved-machine.ts';
import { selfTest } from './self-test.ts';
import type { SerialLine } from './serial-line.ts';
import type { SpareProcesses } from './spare-processes.ts';
import { TouchOrders } from './touch-order.ts';
import {
  keyOf,
  kindOf,
  launchWaiting,
  setCapability,
  type WaitingProcess,
  type WaitingShape,
} from './waiting-process.ts';

const PAGE_BYTES = 4096;
/** No machine is called so. */
const SPARE_NAME = '_spare';
/** How long after a process has shut the line it may take to say why. */
const MOST_WORDS_MS = 500;

/** What makes lazy machines quicker than their first. */
export interface LazyHelp {
  /** Where the orders of first touches are kept; without it none is. */
  readonly touchFolder?: string;
  /** Processes that wait: one of its shape is taken, and the next one is started once it is whole. */
  readonly spares?: SpareProcesses | undefined;
}

export interface LazyMachineOptions extends Omit<QemuMachineOptions, 'snapshot'>, LazyHelp {
  /** Whether pages come when they are touched, now or in an earlier run, and no others: it is never whole then. */
  readonly onlyTouched?: boolean;
}

/**
 * Starts a process on a snapshot's devices; it rests until `start`, which need not wait for anything.
 *
 * Throws as `openQemuMachine`, and `unsupported` where the kernel or QEMU have no postcopy. Nothing is left behind then.
 */
export async function openLazyMachine(
  name: string,
  profile: QemuProfile,
  vitrine: Vitrine,
  snapshot: SnapshotId,
  options: LazyMachineOptions = {},
): Promise<LazyMachine> {
  const resolved = resolveProfile(profile);
  const proof = await selfTest(resolved, options.root);
  const orders = options.touchFolder === undefined ? undefined : new TouchOrders(options.touchFolder);
  // While QEMU starts, which takes most of the time.
  const reading = readSavedMachine(vitrine, snapshot, resolved).then(async (saved) => ({
    saved,
    ahead: (await orders?.load(saved.id)) ?? [],
  }));
  reading.catch(() => {});
  const standsOn = options.disks === undefined ? [] : (await reading).saved.disks;
  const shape = shapeOf(profile, options, standsOn);
  const waiting = (await takeSpare(options.spares, name, shape)) ?? (await launchWaiting(name, shape));
  const { process, serial, disks } = waiting;
  const { saidBytes } = process;
  try {
    const [{ saved, ahead }, socket] = await Promise.all([reading, waiting.connect()]);
    const { id } = saved;
    const server = servePages(socket, sourceOf(saved), {
      ahead,
      onlyNamed: options.onlyTouched ?? false,
    });
    // A hint: where there is no room for it, the machine goes on.
    const keep = (asked: readonly PageRef[]) => orders?.keep(id, ahead, asked).catch(() => {});
    const parts = { name, profile, process, serial, disks, proof, vitrine };
    const loaded = { sections: saved.sections, blocks: saved.contents };
    const machine = new LazyMachine(parts, server, { ...options, after: id, saidBytes, keep, loaded });
    await machine.loaded;
    process.bell?.loaded(saved.waits, id);
    // When it has what it needs, and not before. One more: as many as were restored at once may be again.
    machine.whole.then(() => fillSpares(options.spares, shape, (waiting) => waiting + 1)).catch(() => {});
    return machine;
  } catch (error) {
    await waiting.end();
    throw error;
  }
}

/**
 * Has `count` processes of `spares`, 1 when left out, wait for `openLazyMachine` with the same profile and options; with disks, for
 * this snapshot or one that stands on the same layers of them. Resolves when they wait.
 *
 * Throws `unsupported` with the argument by which two such processes would be in each other's way, and as `openLazyMachine`.
 */
export async function spareLazyMachine(
  profile: QemuProfile,
  vitrine: Vitrine,
  snapshot: SnapshotId,
  options: LazyMachineOptions & { readonly spares: SpareProcesses; readonly count?: number },
): Promise<void> {
  const hasDisks = options.disks !== undefined;
  const saved = hasDisks ? await readSavedMachine(vitrine, snapshot, resolveProfile(profile)) : undefined;
  const shape = shapeOf(profile, options, saved?.disks ?? []);
  await fillSpares(options.spares, shape, () => options.count ?? 1);
}

type Keep = (asked: readonly PageRef[]) => Promise<void> | undefined;

/** What a lazy machine is of beside its process. */
interface LazyOrigin extends AdoptOptions {
  /** What its process had said before its state was on its way. */
  readonly saidBytes: number;
  /** Takes the pages that it asked for. */
  readonly keep: Keep;
  readonly loaded: LoadedState;
}

export class LazyMachine {
  readonly serial: SerialLine;
  /** Where its files are. */
  readonly directory: string;
  readonly pid: number;
  /** Resolves when the devices are loaded; rejects when the machine is lost before. */
  readonly loaded: Promise<void>;
  /**
   * Resolves with the machine when all its RAM is there; it runs on, or rests, as it did. Rejects when it is lost: with what
   * reading a page threw, or `guest-lost`. Its process is ended then.
   */
  readonly whole: Promise<{ readonly machine: QemuMachine; readonly report: PageReport }>;
  readonly #parts: LaunchedParts;
  readonly #server: PageServer;
  readonly #keep: Keep;
  #closing: Promise<void> | undefined;

  constructor(parts: LaunchedParts, server: PageServer, { saidBytes, keep, ...options }: LazyOrigin) {
    this.#parts = parts;
    this.#server = server;
    this.#keep = keep;
    this.serial = parts.serial;
    this.pid = parts.process.pid;
    this.directory = parts.process.files.directory;
    this.loaded = server.loaded.catch(async (cause: unknown) => {
      throw await refusalOf(parts.process, saidBytes, cause);
    });
    this.loaded.catch(() => {});
    this.whole = this.#becomeWhole(options);
    this.whole.catch(() => {});
  }

  /** Lets it run. Throws what `whole` rejects with when it is lost. */
  async start(): Promise<void> {
    const { qmp } = this.#parts.process;
    await this.loaded;
    // Its state follows its devices by a moment.
    for (;;) {
      const { status } = await qmp.execute('query-status');
      if (status !== 'inmigrate') break;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await qmp.execute('cont');
  }

  /** Pages that came so far. */
  get sentCount(): number {
    return this.#server.sentCount;
  }

  /** Pages that were asked for so far: for each of them it waited. */
  get askedCount(): number {
    return this.#server.asked.length;
  }

  /** Ends it, whole or not; what it touched is kept for the next time. May be called again. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    const asked = this.#server.asked;
    this.#server.stop(new VitrineError('guest-closed'));
    await this.#end();
    if (asked.length > 0) await this.#keep(asked);
  }

  async #becomeWhole({
    loaded,
    ...options
  }: Omit<LazyOrigin, 'saidBytes' | 'keep'>): Promise<{ machine: QemuMachine; report: PageReport }> {
    const { qmp } = this.#parts.process;
    let machine: QemuMachine | undefined;
    try {
      const report = await this.#server.done;
      await this.#keep(report.asked);
      await untilCompleted(qmp);
      await setCapability(qmp, 'postcopy-ram', false);
      const { ran } = await comeToRest(this.#parts.process);
      machine = await adoptProcess(this.#parts, ran ? options : { ...options, loaded });
      if (ran) await machine.start();
      return { machine, report };
    } catch (error) {
      // It waits for pages that will not come, and cannot even be asked to quit.
      this.#server.stop(error as VitrineError);
      await this.loaded.catch(() => {});
      await machine?.close();
      await this.#end();
      throw error;
    }
  }

  async #end(): Promise<void> {
    const { process, serial, disks } = this.#parts;
    serial.close();
    process.kill();
    await process.close();
    await disks?.close();
  }
}

/** How many wait, or are being started, for machines of this profile and these options, of whatever snapshots. */
export async function countLazySpares(
  spares: SpareProcesses,
  profile: QemuProfile,
  options: LazyMachineOptions,
): Promise<number> {
  return spares.count === 0 ? 0 : spares.countOf(await kindOf(shapeOf(profile, options, [])));
}

/**
 * Why a process did not load a state. One that does not take it shuts the line, and then says why on its standard error; one that is
 * killed says nothing.
 */
async function refusalOf(process: QemuProcess, saidBytes: number, cause: unknown): Promise<unknown> {
  if (!isVitrineError(cause, 'guest-lost') && !isVitrineError(cause, 'guest-failed')) return cause;
  const endMs = SYSTEM_CLOCK.nowMs() + MOST_WORDS_MS;
  while (process.saidSince(saidBytes) === '' && process.isRunning && SYSTEM_CLOCK.nowMs() < endMs) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const said = process.saidSince(saidBytes);
  return said === '' ? cause : new VitrineError('guest-state-invalid', { said }, { cause });
}

function shapeOf(
  profile: QemuProfile,
  { disks, root }: LazyMachineOptions,
  standsOn: readonly DeviceRecord[],
): WaitingShape {
  return { profile, ram: 'touched', disks, standsOn, ...(root === undefined ? {} : { root }) };
}

async function fillSpares(
  spares: SpareProcesses | undefined,
  shape: WaitingShape,
  countFor: (waiting: number) => number,
): Promise<void> {
  const outside = reachesOutside(shape.profile.args ?? []);
  if (outside !== undefined)
    throw new VitrineError('unsupported', { missing: 'a spare process', argument: outside });
  const key = await keyOf(shape);
  await spares?.fill(key, () => launchWaiting(SPARE_NAME, shape), countFor(spares.countOf(key)));
}

/** A process of that shape that waits, as the machine of this name. Throws as `Disks.read`, where its disks are not as they were. */
async function takeSpare(
  spares: SpareProcesses | undefined,
  name: string,
  shape: WaitingShape,
): Promise<WaitingProcess | undefined> {
  if (spares === undefined || spares.count === 0) return undefined;
  const waiting = await spares.take(await keyOf(shape));
  if (waiting === undefined) return undefined;
  try {
    const { files, profile } = waiting.process;
    // It took none of its memory when it was started; by now there may be no room.
    await openRunRoot(dirname(files.directory), profile.memoryBytes);
    await Promise.all([waiting.disks?.read(shape.standsOn), waiting.process.rename(name)]);
    return waiting;
  } catch (error) {
    await waiting.end();
    // Another process may find room elsewhere.
    if (isVitrineError(error, 'memory-exhausted')) return undefined;
    throw error;
  }
}

/** A snapshot as what a postcopy source has. */
function sourceOf(saved: SavedMachine): PageSource {
  const { machineType, blocks, sections, contents } = saved;
  const read = async (pages: readonly PageRef[]): Promise<Uint8Array[]> => {
    const ram = pages.filter(({ block }) => block === 0);
    const fromStore = await saved.readRam(ram.map(({ offset }) => ({ offset, lengthBytes: PAGE_BYTES })));
    let next = 0;
    return pages.map(({ block, offset }) =>
      block === 0 ? fromStore[next++]! : contents[block - 1]!.bytes.subarray(offset, offset + PAGE_BYTES),
    );
  };
  return { machineType, blocks, sections, read };
}

/** QEMU says that it has all before it has put everything away. */
async function untilCompleted(qmp: Qmp): Promise<void> {
  for (;;) {
    const { status } = await qmp.execute('query-migrate');
    if (status === 'completed') return;
    if (status === 'failed') throw new VitrineError('guest-failed', { command: 'migrate-incoming' });
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
