// QEMU as a peer: the Linux of the other rows in a PC of its own (TCG, no KVM), saved as people save one: a migration into
// a file, piped through zstd. Another machine than v86's, running the same kernel and the same work.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const IMAGES = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '.guests');
const PROGRAM = 'qemu-system-x86_64';
const POLL_MS = 20;
/** A boot without KVM on a busy host. */
const BOOT_MS = 240_000;

/** Whether it is installed, and which. */
export function qemuVersion(): string | undefined {
  const { status, stdout } = spawnSync(PROGRAM, ['--version'], { encoding: 'utf8' });
  return status === 0 ? /version (\S+)/.exec(stdout)?.[1] : undefined;
}

export interface QemuLinuxOptions {
  readonly memoryMiB?: number;
  readonly program?: string;
  /** Waits for a state in place of booting. */
  readonly incoming?: boolean;
  readonly args?: readonly string[];
}

export class QemuLinux {
  /** The socket of a second monitor, for whoever has a client of his own. */
  readonly secondMonitor: string;
  readonly #process: ChildProcess;
  readonly #monitor: Socket;
  #serial = '';
  #answers = '';
  #commands = 0;

  private constructor(process: ChildProcess, monitor: Socket, secondMonitor: string) {
    this.secondMonitor = secondMonitor;
    this.#process = process;
    this.#monitor = monitor;
    process.stdout!.setEncoding('latin1').on('data', (text: string) => {
      this.#serial += text;
    });
    // It goes when QEMU ends, which whoever waits sees.
    monitor.on('error', () => {});
    monitor.setEncoding('utf8').on('data', (text: string) => {
      this.#answers += text;
    });
  }

  /** Boots to the shell, in 128 MiB unless told. Its sockets lie in `folder`. */
  static async boot(folder: string, options: QemuLinuxOptions = {}): Promise<QemuLinux> {
    const socket = join(folder, 'qmp');
    const { memoryMiB = 128, program = PROGRAM, incoming = false, args = [] } = options;
    const base = [
      '-machine',
      'pc',
      '-accel',
      'tcg',
      '-m',
      String(memoryMiB),
      '-nodefaults',
      '-display',
      'none',
    ];
    const machine = [...base, ...args, ...(incoming ? ['-incoming', 'defer'] : [])];
    const kernel = ['-kernel', join(IMAGES, 'vmlinuz'), '-initrd', join(IMAGES, 'initrd')];
    const line = 'console=ttyS0,115200 quiet mitigations=off random.trust_cpu=on nomodeset';
    const ports = ['-serial', 'stdio', '-qmp', `unix:${socket},server=on,wait=off`];
    const second = ['-qmp', `unix:${socket}-2,server=on,wait=off`];
    const process = spawn(program, [...machine, ...kernel, '-append', line, ...ports, ...second], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await until(() => existsSync(socket), process);
    const monitor = connect(socket);
    await once(monitor, 'connect');
    const linux = new QemuLinux(process, monitor, `${socket}-2`);
    await linux.#ask('qmp_capabilities');
    // As fast as it can: by default it holds itself back for a network.
    await linux.#ask('migrate-set-parameters', { 'max-bandwidth': 2 ** 40 });
    if (incoming) return linux;
    await until(() => linux.#serial.includes('# '), process);
    await linux.shell('stty -echo; PS1=');
    return linux;
  }

  /** Runs a shell command and waits for its end. */
  async shell(command: string): Promise<void> {
    const from = this.#serial.length;
    const end = `end-of-${this.#commands++}`;
    this.#process.stdin!.write(`${command}; echo ${end.slice(0, 3)}""${end.slice(3)}\n`);
    await until(() => this.#serial.includes(`${end}\r\n`, from), this.#process);
  }

  /** Saves the stopped machine into a file, and lets it run again. Answers with what that took and the file's length. */
  async save(path: string): Promise<{ readonly ms: number; readonly bytes: number }> {
    return this.migrate(`exec:cat > '${path}'`, path);
  }

  /** As `save`, with these capabilities on; by pages at fixed places with several threads, say. */
  async migrate(
    uri: string,
    path: string,
    capabilities: readonly string[] = [],
  ): Promise<{ ms: number; bytes: number }> {
    await this.#setCapabilities(capabilities, true);
    const startMs = performance.now();
    await this.#ask('stop');
    await this.#ask('migrate', { uri });
    await this.#migrated();
    const ms = performance.now() - startMs;
    await this.#ask('cont');
    await this.#setCapabilities(capabilities, false);
    return { ms, bytes: statSync(path).size };
  }

  /** Loads a file that `save` wrote into a machine that waits for it, and lets it run. Answers with the milliseconds. */
  async load(path: string): Promise<number> {
    const startMs = performance.now();
    await this.#ask('migrate-incoming', { uri: `exec:cat '${path}'` });
    await this.#migrated();
    await this.#ask('cont');
    return performance.now() - startMs;
  }

  /** A command of the human monitor: `savevm`, `loadvm`. Answers with the milliseconds. */
  async human(line: string): Promise<number> {
    const startMs = performance.now();
    const { return: said = '' } = {
      return: await this.#ask('human-monitor-command', { 'command-line': line }),
    };
    if (typeof said === 'string' && said !== '') throw new Error(`QEMU: ${line}: ${said}`);
    return performance.now() - startMs;
  }

  async #migrated(): Promise<void> {
    let status: unknown;
    while (status !== 'completed') {
      await new Promise((resolve) => setTimeout(resolve, 1));
      const answer = await this.#ask('query-migrate');
      status = answer.status;
      if (status === 'failed') throw new Error(`QEMU did not migrate: ${JSON.stringify(answer)}`);
    }
  }

  async #setCapabilities(names: readonly string[], state: boolean): Promise<void> {
    if (names.length === 0) return;
    const capabilities = names.map((capability) => ({ capability, state }));
    await this.#ask('migrate-set-capabilities', { capabilities });
  }

  async close(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#monitor.write(`${JSON.stringify({ execute: 'quit' })}\n`);
    await ended;
  }

  /** A command of QMP; answers that are events are passed over. */
  async #ask(execute: string, args?: object): Promise<Record<string, unknown>> {
    const id = `${execute}-${this.#commands++}`;
    this.#monitor.write(`${JSON.stringify({ execute, id, ...(args ? { arguments: args } : {}) })}\n`);
    let answer: Record<string, unknown> | undefined;
    await until(
      () => {
        for (const line of this.#answers.split('\r\n').slice(0, -1)) {
          const message = JSON.parse(line) as Record<string, unknown>;
          if (message.id === id) answer = message;
        }
        return answer !== undefined;
      },
      this.#process,
      1,
    );
    if (answer?.error !== undefined) throw new Error(`QEMU: ${execute}: ${JSON.stringify(answer.error)}`);
    return (answer?.return ?? {}) as Record<string, unknown>;
  }
}

async function until(condition: () => boolean, process: ChildProcess, pollMs = POLL_MS): Promise<void> {
  const deadline = performance.now() + BOOT_MS;
  while (!condition()) {
    if (process.exitCode !== null) throw new Error(`QEMU ended with ${process.exitCode}`);
    if (performance.now() > deadline) throw new Error('QEMU: waited in vain');
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
