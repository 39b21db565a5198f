// A process that was started to wait for a machine's state (`-incoming defer`), and listens for it: in the milliseconds that its devices
// take it becomes a clone, or a machine that runs before its RAM is there. Starting one takes some fifty, of which most is the
// loader's.
//
//   launched ─▶ listens ──connect()──▶ a socket that takes a migration stream
//
// It has taken no memory of its machine's by then, and its disks have layers that nothing was written to.

import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import type { DeviceRecord } from '../../guest/guest.ts';
import { type DiskOptions, type Disks, openDisks } from './disks.ts';
import { launchWith } from './launch-with.ts';
import type { LaunchOptions, QemuProcess } from './process.ts';
import { type QemuProfile, type ResolvedProfile, resolveProfile } from './profile.ts';
import { isRefusal, type Qmp } from './qmp.ts';
import { inMemoryFiles } from './run-directory.ts';
import { connectSerial, type SerialLine } from './serial-line.ts';
import { IGNORE_SHARED } from './state-transfer.ts';
import { USERFAULTFD_HINT, whyNoUserfaultfd } from './userfaultfd.ts';

/** What one is started with: where any of it differs, the process is another one. */
export interface WaitingShape extends LaunchOptions {
  readonly profile: QemuProfile;
  /** Whether its RAM is there, as an image's is, or comes as it is touched. */
  readonly ram: 'there' | 'touched';
  readonly disks?: { readonly folder: string; readonly files: readonly DiskOptions[] } | undefined;
  /** The records of disks that it stands on, where it has disks. */
  readonly standsOn: readonly DeviceRecord[];
}

/**
 * Starts one. Nothing is left behind where it throws: as `launchQemu`, as `Disks.standOn`, and `unsupported` where kernel or QEMU cannot
 * let RAM come as it is touched.
 */
export async function launchWaiting(name: string, shape: WaitingShape): Promise<WaitingProcess> {
  const { profile, root } = shape;
  const disks = shape.disks && (await openDisks(shape.disks.files, shape.disks.folder));
  let process: QemuProcess | undefined;
  try {
    await disks?.standOn(shape.standsOn);
    const args = [...(profile.args ?? []), '-incoming', 'defer'];
    const options = root === undefined ? {} : { root };
    process = await launchWith(disks, name, { ...profile, args }, options);
    if (shape.ram === 'touched') await inMemoryFiles(process.files.directory);
    const [serial] = await Promise.all([connectSerial(process.files), listen(process, shape.ram)]);
    return new WaitingProcess(name, process, serial, disks);
  } catch (error) {
    process?.kill();
    await process?.close();
    await disks?.close();
    throw error;
  }
}

export class WaitingProcess {
  /** What it was started as. */
  readonly name: string;
  readonly process: QemuProcess;
  readonly serial: SerialLine;
  readonly disks: Disks | undefined;
  #socket: Promise<Socket> | undefined;

  constructor(name: string, process: QemuProcess, serial: SerialLine, disks: Disks | undefined) {
    this.name = name;
    this.process = process;
    this.serial = serial;
    this.disks = disks;
  }

  /** Where its state goes, to be written once. Throws `guest-lost` where it does not wait any more. */
  connect(): Promise<Socket> {
    this.#socket ??= connectIncoming(this.process);
    return this.#socket;
  }

  /** Ends it, whatever became of it. May be called again. */
  async end(): Promise<void> {
    this.serial.close();
    this.process.kill();
    await this.process.close();
    await this.disks?.close();
  }
}

/**
 * What tells a shape from every other: the command line, and what the files that QEMU has read by then are. For a lookup; a file that is not
 * there is for QEMU to say.
 */
export async function keyOf(shape: WaitingShape): Promise<string> {
  const records = shape.standsOn.map(({ bytes }) => Buffer.from(bytes).toString('base64'));
  return `${await kindOf(shape)}${records.join(' ')}`;
}

/** What the keys of all shapes begin with that differ in what their disks stand on alone. */
export async function kindOf({
  ram,
  root,
  disks,
  ...shape
}: Omit<WaitingShape, 'standsOn'>): Promise<string> {
  const profile = resolveProfile(shape.profile);
  // A line of JSON has no line break in it: no kind begins with another.
  return `${JSON.stringify([ram, root ?? null, profile, await readFiles(profile), disks ?? null])}\n`;
}

/** Files are read as a process starts; one that was replaced since belongs to another machine. */
function readFiles({ program, bios, kernel, initrd }: ResolvedProfile): Promise<(string | null)[]> {
  return Promise.all(
    [program, bios, kernel, initrd].map(async (path) => {
      const found =
        path === undefined ? undefined : await stat(path, { bigint: true }).catch(() => undefined);
      return found === undefined ? null : `${found.dev}:${found.ino}:${found.size}:${found.mtimeNs}`;
    }),
  );
}

/** Has a process that was started with `-incoming defer` listen. */
export async function listen({ qmp, files }: QemuProcess, ram: WaitingShape['ram']): Promise<void> {
  const capability = ram === 'there' ? IGNORE_SHARED : 'postcopy-ram';
  // One exchange: whoever refuses the first is ended, whatever it says to the second.
  const [able, listening] = await Promise.allSettled([
    setCapability(qmp, capability, true),
    qmp.execute('migrate-incoming', { uri: `unix:${incomingOf(files.directory)}` }),
  ]);
  if (able.status === 'rejected') {
    const missing = ram === 'there' ? capability : 'postcopy: userfaultfd, and RAM in memory files';
    const said = isRefusal(able.reason) ? able.reason.data.said : undefined;
    const why = ram === 'there' ? undefined : whyNoUserfaultfd();
    const data = { missing, ...(said && { said }), ...(why && { why, hint: USERFAULTFD_HINT }) };
    throw new VitrineError('unsupported', data, { cause: able.reason });
  }
  if (listening.status === 'rejected') throw listening.reason;
}

export async function setCapability(qmp: Qmp, capability: string, state: boolean): Promise<void> {
  await qmp.execute('migrate-set-capabilities', { capabilities: [{ capability, state }] });
}

/** Connects to a process that listens. Throws `guest-lost`. */
export async function connectIncoming({ files }: QemuProcess): Promise<Socket> {
  const socket = connect(incomingOf(files.directory));
  await once(socket, 'connect').catch((cause: Error) => {
    throw new VitrineError('guest-lost', { reason: cause.message }, { cause });
  });
  // Whoever uses it finds it closed.
  socket.on('error', () => {});
  return socket;
}

function incomingOf(directory: string): string {
  return join(directory, 'incoming');
}
