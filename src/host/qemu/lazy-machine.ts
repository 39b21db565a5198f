// A machine that runs before its RAM is there: its devices are loaded, and pages come from the store as it touches them. To QEMU
// we are the source of a postcopy migration; it needs userfaultfd, so root, or vm.unprivileged_userfaultfd = 1.
//
//   launched ─▶ loaded: it can run ─▶ whole: all RAM is there, and it is a machine as any other
//
// Until it is whole it cannot be saved, reset or peeked: its RAM file has holes where pages have not come yet.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import type { SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { openDisks } from './disks.ts';
import { launchWith } from './launch-with.ts';
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
  adoptProcess,
  type LaunchedParts,
  type QemuMachine,
  type QemuMachineOptions,
} from './qemu-machine.ts';
import type { Qmp } from './qmp.ts';
import { readSavedMachine, type SavedMachine } from './saved-machine.ts';
import { selfTest } from './self-test.ts';
import { connectSerial, type SerialLine } from './serial-line.ts';
import { TouchOrders } from './touch-order.ts';

const PAGE_BYTES = 4096;

export interface LazyMachineOptions extends Omit<QemuMachineOptions, 'snapshot'> {
  /** Where the orders of first touches are kept; without it none is. */
  readonly touchFolder?: string;
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
  const disks = options.disks && (await openDisks(options.disks.files, options.disks.folder));
  let process: QemuProcess | undefined;
  try {
    if (disks !== undefined) await disks.standOn((await reading).saved.disks);
    const args = [...(profile.args ?? []), '-incoming', 'defer'];
    process = await launchWith(disks, name, { ...profile, args }, options);
    const { saved, ahead } = await reading;
    const { id } = saved;
    const [serial, socket] = await Promise.all([connectSerial(process.files), connectIncoming(process)]);
    const server = servePages(socket, sourceOf(saved), {
      ahead,
      onlyNamed: options.onlyTouched ?? false,
    });
    const keep = (asked: readonly PageRef[]) => orders?.keep(id, ahead, asked);
    const machine = new LazyMachine(
      { name, profile, process, serial, disks, proof, vitrine },
      server,
      options,
      keep,
    );
    await machine.loaded;
    process.bell?.loaded(saved.waits, id);
    return machine;
  } catch (error) {
    process?.kill();
    await process?.close();
    await disks?.close();
    throw error;
  }
}

type Keep = (asked: readonly PageRef[]) => Promise<void> | undefined;

export class LazyMachine {
  readonly serial: SerialLine;
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

  constructor(parts: LaunchedParts, server: PageServer, options: LazyMachineOptions, keep: Keep) {
    this.#parts = parts;
    this.#server = server;
    this.#keep = keep;
    this.serial = parts.serial;
    this.pid = parts.process.pid;
    this.loaded = server.loaded;
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

  async #becomeWhole(options: LazyMachineOptions): Promise<{ machine: QemuMachine; report: PageReport }> {
    const { qmp } = this.#parts.process;
    try {
      const report = await this.#server.done;
      await this.#keep(report.asked);
      await untilCompleted(qmp);
      await setPostcopy(qmp, false);
      const { running } = await qmp.execute('query-status');
      if (running) await qmp.execute('stop');
      const machine = await adoptProcess(this.#parts, options);
      if (running) await machine.start();
      return { machine, report };
    } catch (error) {
      // It waits for pages that will not come, and cannot even be asked to quit.
      this.#server.stop(error as VitrineError);
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

/** Connects to where the process waits for its migration. */
async function connectIncoming({ qmp, files }: QemuProcess): Promise<Socket> {
  const path = join(files.directory, 'incoming');
  // One exchange: whoever refuses the first is ended, whatever it says to the second.
  const [postcopy, incoming] = await Promise.allSettled([
    setPostcopy(qmp, true),
    qmp.execute('migrate-incoming', { uri: `unix:${path}` }),
  ]);
  if (postcopy.status === 'rejected') {
    throw new VitrineError('unsupported', { missing: 'postcopy: userfaultfd' }, { cause: postcopy.reason });
  }
  if (incoming.status === 'rejected') throw incoming.reason;
  const socket = connect(path);
  await once(socket, 'connect').catch((cause: Error) => {
    throw new VitrineError('guest-lost', { reason: cause.message }, { cause });
  });
  return socket;
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

async function setPostcopy(qmp: Qmp, state: boolean): Promise<void> {
  await qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'postcopy-ram', state }] });
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
