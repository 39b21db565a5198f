// A QEMU driven by its monitor alone, for tests of parts that stand below the driver in `src/host/qemu`: recorded streams are
// what QEMU itself says, and a synthesized one is shown to load by QEMU and nothing of ours.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PULSE, PULSE_FACTS, pulseRom } from '../../src/guest/pulse/pulse.ts';
import { findQemus } from '../setup/qemu.mjs';

const POLL_MS = 5;
/** Against hangs alone. */
const PATIENCE_MS = 30_000;

type Answer = Record<string, unknown>;

/** The programs of this machine by their version, `7.2`: the installed one and those that were fetched. */
export function qemuPrograms(): ReadonlyMap<string, string> {
  return new Map(
    findQemus().map(({ version, program }) => [/^\d+\.\d+/.exec(version)?.[0] ?? version, program]),
  );
}

export class BareQemu {
  readonly folder: string;
  readonly process: ChildProcess;
  readonly #monitor: Socket;
  readonly #waiting = new Map<
    string,
    { resolve: (answer: Answer) => void; reject: (cause: Error) => void }
  >();
  readonly events: { readonly event: string; readonly data?: Answer }[] = [];
  stderr = '';
  #text = '';
  #calls = 0;

  private constructor(folder: string, process: ChildProcess, monitor: Socket) {
    this.folder = folder;
    this.process = process;
    this.#monitor = monitor;
    process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    monitor.on('error', () => {});
    monitor.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`QEMU is gone: ${this.stderr}`));
      this.#waiting.clear();
    });
    monitor.setEncoding('utf8').on('data', (text: string) => this.#hear(text));
  }

  /** Starts Pulse as the BIOS of a machine. `args` come after ours; its files lie in `folder`. */
  static async startPulse(program: string, args: (folder: string) => readonly string[]): Promise<BareQemu> {
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-qemu-'));
    await writeFile(join(folder, 'rom'), pulseRom());
    // Without an APIC: interrupts of the old controller come through one only after a BIOS has set it up.
    const ours = [
      '-cpu',
      'qemu64,-apic',
      '-nodefaults',
      '-display',
      'none',
      '-no-user-config',
      '-serial',
      'null',
    ];
    return BareQemu.start(program, folder, [...ours, '-bios', join(folder, 'rom'), ...args(folder)]);
  }

  static async start(program: string, folder: string, args: readonly string[]): Promise<BareQemu> {
    const socket = join(folder, 'qmp');
    const child = spawn(program, [...args, '-qmp', `unix:${socket},server=on,wait=off`], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const monitor = await connectWhenItListens(socket, child);
    const qemu = new BareQemu(folder, child, monitor);
    await qemu.call('qmp_capabilities');
    return qemu;
  }

  async call(execute: string, args?: object): Promise<unknown> {
    const id = `${this.#calls++}`;
    const answer = await new Promise<Answer>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#monitor.write(`${JSON.stringify({ execute, id, ...(args && { arguments: args }) })}\n`);
    });
    if (answer.error !== undefined) throw new Error(`${execute}: ${JSON.stringify(answer.error)}`);
    return answer.return;
  }

  /** Loads the internal snapshot of a qcow2 file into the stopped machine. */
  async loadSnapshot(image: Uint8Array, tag: string): Promise<void> {
    const filename = join(this.folder, 'state.qcow2');
    await writeFile(filename, image);
    const node = 'state';
    await this.call('blockdev-add', {
      driver: 'qcow2',
      'node-name': node,
      file: { driver: 'file', filename },
    });
    const job = { 'job-id': 'load', tag, vmstate: node, devices: [node] };
    await this.call('snapshot-load', job);
    await this.#until(async () => {
      const jobs = (await this.call('query-jobs')) as { status: string; error?: string }[];
      if (jobs[0]?.error !== undefined) throw new Error(jobs[0].error);
      return jobs[0]?.status === 'concluded';
    });
    await this.call('job-dismiss', { id: 'load' });
    await this.call('blockdev-del', { 'node-name': node });
  }

  /** Migrates to an address and waits for the end. */
  async migrate(uri: string): Promise<void> {
    await this.call('migrate', { uri });
    await this.untilMigrated();
  }

  async untilMigrated(): Promise<void> {
    await this.#until(async () => {
      const { status } = (await this.call('query-migrate')) as { status?: string };
      if (status === 'failed') throw new Error(`the migration failed: ${this.stderr}`);
      return status === 'completed';
    });
  }

  /** Lets Pulse write pages, and stops it at rest. */
  async runPulse(loops: number): Promise<void> {
    await this.call('cont');
    await this.#until(async () => (await this.words(PULSE.loops, 1))[0]! >= loops);
    await this.call('stop');
  }

  /** Words of guest memory. */
  async words(address: number, count: number): Promise<Uint32Array> {
    const bytes = await this.memory(address, 4 * count);
    return new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  }

  async memory(address: number, lengthBytes: number): Promise<Uint8Array> {
    const filename = join(this.folder, 'peek');
    await this.call('pmemsave', { val: address, size: lengthBytes, filename });
    return readFile(filename);
  }

  async close(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const ended = once(this.process, 'exit');
      this.process.kill('SIGKILL');
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  #hear(text: string): void {
    this.#text += text;
    const lines = this.#text.split('\n');
    this.#text = lines.pop()!;
    for (const line of lines) {
      const message = JSON.parse(line) as Answer & { id?: string; event?: string };
      if (message.event !== undefined) this.events.push({ event: message.event });
      if (message.id === undefined) continue;
      this.#waiting.get(message.id)?.resolve(message);
      this.#waiting.delete(message.id);
    }
  }

  async #until(condition: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + PATIENCE_MS;
    while (!(await condition())) {
      if (performance.now() > deadlineMs) throw new Error(`QEMU: waited in vain: ${this.stderr}`);
      await passTime();
    }
  }
}

/** The file of a socket is there before somebody listens. */
async function connectWhenItListens(path: string, child: ChildProcess): Promise<Socket> {
  while (child.exitCode === null) {
    const socket = connect(path);
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    if (isOpen) return socket;
    await passTime();
  }
  throw new Error(`QEMU ended: ${String(child.stderr!.read())}`);
}

/** Whether the memory of Pulse is whole: it runs, and no page was found damaged. */
export async function isPulseWhole(qemu: BareQemu): Promise<boolean> {
  const [magic] = await qemu.words(PULSE.magic, 1);
  const [health] = await qemu.words(PULSE.health, 1);
  return magic === PULSE_FACTS.magic && health !== 2;
}

/** Between two looks of a loop. */
function passTime(): Promise<void> {
  return new Promise((done) => void setTimeout(() => done(), POLL_MS));
}
