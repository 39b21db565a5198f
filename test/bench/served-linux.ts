// A Linux on a QEMU machine that `vitrine serve` runs, a process of its own, for rows that measure what clients get. Clients are
// the CLI's: over TCP, and by the UNIX socket.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type BridgeClient, connectBridge } from '../../src/bridge/bridge-client.ts';
import type { RemoteGuest } from '../../src/bridge/remote-guest.ts';
import { openWebSocketChannel } from '../../src/bridge/web-socket-channel.ts';
import { bearerSocket } from '../../src/host/bridge/bearer-socket.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const CLI = join(ROOT, 'dist', 'lib', 'host', 'cli', 'vitrine.js');
const MIB = 2 ** 20;
const NAME = 'linux';
/** As many as a bridge lets in. */
export const MAX_CLIENTS = 32;

interface Address {
  readonly tcp: string;
  readonly unix: string;
  readonly token: string;
}

export class ServedLinux {
  readonly #process: ChildProcess;
  readonly #address: Address;
  readonly #clients: BridgeClient[] = [];

  private constructor(process: ChildProcess, address: Address) {
    this.#process = process;
    this.#address = address;
  }

  /** Builds the package, serves, and boots up to the shell. `folder` is the caller's. */
  static async start(folder: string): Promise<ServedLinux> {
    const { status } = spawnSync(process.execPath, ['build.mjs'], { cwd: ROOT, stdio: 'ignore' });
    if (status !== 0 || !existsSync(CLI)) throw new Error('the package does not build');
    const env = { ...process.env, VITRINE_RUN_DIR: join(folder, 'run') };
    // All clients are one visitor's.
    const config = join(folder, 'bridge.json');
    await writeFile(config, JSON.stringify({ limits: { connectionsPerSession: MAX_CLIENTS } }));
    const at = ['--listen', '127.0.0.1:0', '--store', join(folder, 'store')];
    const args = [CLI, 'serve', '--config', config, ...at, '--json'];
    const server = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'ignore'] });
    const lines = createInterface({ input: server.stdout! });
    const [line] = await new Promise<[string]>((resolve, reject) => {
      lines.once('line', (text) => resolve([text]));
      server.once('exit', () => reject(new Error('vitrine serve ended')));
    });
    const { origin, tokenFile } = JSON.parse(line) as { origin: string; tokenFile: string };
    const { token, socket } = JSON.parse(await readFile(tokenFile, 'utf8')) as Record<string, string>;
    const address = { tcp: origin.replace('http', 'ws'), unix: `ws+unix:${socket}:`, token: token! };
    const served = new ServedLinux(server, address);
    await served.#boot();
    return served;
  }

  /** The machine, to a client of its own. */
  async connect(over: 'tcp' | 'unix' = 'tcp'): Promise<RemoteGuest> {
    return (await this.#open(over)).machine(NAME);
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGTERM');
    await ended;
  }

  async #open(over: 'tcp' | 'unix'): Promise<BridgeClient> {
    const Socket = bearerSocket(this.#address.token, () => {});
    const url = `${this.#address[over]}/bridge`;
    const client = await connectBridge(() => openWebSocketChannel(url, { WebSocket: Socket }));
    this.#clients.push(client);
    return client;
  }

  async #boot(): Promise<void> {
    const client = await this.#open('tcp');
    const images = join(ROOT, '.guests');
    const kernel = ['-kernel', join(images, 'vmlinuz'), '-initrd', join(images, 'initrd')];
    const append = 'console=ttyS0,115200 quiet mitigations=off random.trust_cpu=on nomodeset';
    const machine = await client.run({
      name: NAME,
      memoryBytes: 128 * MIB,
      arguments: [...kernel, '-append', append],
    });
    let said = '';
    await new Promise<void>((resolve) => {
      const port = machine.openConsole({
        input: false,
        onBytes: (bytes) => {
          said += new TextDecoder('latin1').decode(bytes);
          if (!said.includes('# ')) return;
          port.close();
          resolve();
        },
      });
    });
    client.close();
    this.#clients.pop();
  }
}
