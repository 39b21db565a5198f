// P6: peeks of one instant through the bridge on loopback, from a QEMU machine that `vitrine serve` runs; against what a
// monitor gives: `pmemsave` at once, in pieces of 64 KB as a message limit cuts them, in pieces of 4 KB as a debugger reads,
// and the packets of QEMU's gdb stub. The peers' machine is another QEMU with the same Linux.
//
// Pieces are of as many instants as there are pieces; only the bridge and one `pmemsave` give one instant.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { connectBridge } from '../../src/bridge/bridge-client.ts';
import type { RemoteGuest } from '../../src/bridge/remote-guest.ts';
import { openWebSocketChannel, type WebSocketConstructor } from '../../src/bridge/web-socket-channel.ts';
import { connectQmp } from '../../src/host/qemu/qmp.ts';
import { openGdbStub } from './gdb-stub.ts';
import { hasLinux } from './linux.ts';
import { QemuLinux, qemuVersion } from './qemu.ts';
import { type BenchResult, type BenchRow, median, takeTurns, throughput } from './row.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const CLI = join(ROOT, 'dist', 'lib', 'host', 'cli', 'vitrine.js');
const KIB = 1024;
const MIB = 1024 * KIB;
const SIZES_MIB = [1, 16, 64] as const;
const TIMES = 7;
/** Past the first megabyte, whose video memory is no RAM. */
const FROM = 16 * MIB;
const GOAL_RATIO = 100;
const GOAL_GB_PER_S = 1;

export async function run(): Promise<BenchRow> {
  if (qemuVersion() === undefined || !hasLinux()) {
    return { row: 'P6', results: [], notes: ['Not measured: it takes QEMU and `npm run guests`.'] };
  }
  const { status } = spawnSync(process.execPath, ['build.mjs'], { cwd: ROOT, stdio: 'ignore' });
  if (status !== 0 || !existsSync(CLI)) throw new Error('the package does not build');
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-p6-'));
  const peer = await QemuLinux.boot(folder);
  const bridge = await ServedLinux.start(folder);
  try {
    return await measure(bridge.machine, peer, folder);
  } finally {
    await bridge.close();
    await peer.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(machine: RemoteGuest, peer: QemuLinux, folder: string): Promise<BenchRow> {
  const file = join(folder, 'dump');
  // A client that answers come to as events: the other one asks every millisecond.
  const monitor = await connectQmp(peer.secondMonitor);
  const pauses: Record<number, number[]> = {};
  const dump = async (sizeBytes: number, pieceBytes: number): Promise<void> => {
    for (let at = 0; at < sizeBytes; at += pieceBytes) {
      const size = Math.min(pieceBytes, sizeBytes - at);
      await monitor.execute('pmemsave', { val: FROM + at, size, filename: file });
      const { length } = await readFile(file);
      if (length !== size) throw new Error(`a dump of ${length} bytes`);
    }
  };
  const peek = async (sizeBytes: number): Promise<void> => {
    const { bytes, pauseMs } = await machine.peek([{ address: FROM, lengthBytes: sizeBytes }]);
    if (bytes[0]?.length !== sizeBytes) throw new Error('a peek of another length');
    pauses[sizeBytes] = [...(pauses[sizeBytes] ?? []), pauseMs];
  };
  const timed = (work: () => Promise<void>) => async () => {
    const startMs = performance.now();
    await work();
    return performance.now() - startMs;
  };
  const measures: Record<string, () => Promise<number>> = {
    'cuts 1': timed(() => dump(MIB, 4 * KIB)),
  };
  for (const size of SIZES_MIB) {
    measures[`peek ${size}`] = timed(() => peek(size * MIB));
    const into = [new Uint8Array(size * MIB)];
    measures[`again ${size}`] = timed(async () => {
      await machine.peek([{ address: FROM, lengthBytes: size * MIB }], { into });
    });
    measures[`one ${size}`] = timed(() => dump(size * MIB, size * MIB));
    // Of the largest it would take a minute of the bench for what the others tell.
    if (size < 64) measures[`pieces ${size}`] = timed(() => dump(size * MIB, 64 * KIB));
  }
  const ms: Record<string, number> = await takeTurns(TIMES, measures);
  const gdb = await openGdbStub(monitor, join(folder, 'gdb'));
  const again = await takeTurns(TIMES, {
    gdb: timed(() => gdb.read(FROM, MIB)),
    peek: timed(() => peek(MIB)),
  });
  ms['gdb 1'] = again.gdb;
  ms['peek 1, again'] = again.peek;
  const results: BenchResult[] = [];
  const ratio = (name: string, ours: string, other: string, goal?: number): void => {
    const [mine, theirs] = [ms[ours]!, ms[other]!];
    const judged = goal === undefined ? {} : { goal };
    results.push({
      name,
      value: theirs / mine,
      unit: 'x',
      better: 'higher',
      ours: mine,
      peer: theirs,
      ...judged,
    });
  };
  for (const size of SIZES_MIB) {
    const isJudged = size === 16;
    if (size < 64)
      ratio(
        `${size} MiB of one instant against 64 KB pieces, ms`,
        `peek ${size}`,
        `pieces ${size}`,
        isJudged ? GOAL_RATIO : undefined,
      );
    ratio(`${size} MiB of one instant against one pmemsave, ms`, `peek ${size}`, `one ${size}`);
    const rate = throughput(size * MIB, ms[`peek ${size}`]!);
    results.push({
      name: `${size} MiB of one instant, throughput`,
      value: rate,
      unit: 'GB/s',
      better: 'higher',
      ours: rate,
      ...(isJudged ? { goal: GOAL_GB_PER_S } : {}),
    });
    const again = throughput(size * MIB, ms[`again ${size}`]!);
    results.push({
      name: `${size} MiB of one instant into memory at hand, throughput`,
      value: again,
      unit: 'GB/s',
      better: 'higher',
      ours: again,
    });
    const pause = median(pauses[size * MIB] ?? []);
    results.push({ name: `${size} MiB, pause`, value: pause, unit: 'ms', better: 'lower', ours: pause });
  }
  ratio('1 MiB against 4 KB pieces of pmemsave, ms', 'peek 1', 'cuts 1');
  ratio('1 MiB against the gdb stub, which stops the machine, ms', 'peek 1, again', 'gdb 1');
  gdb.close();
  monitor.close();
  return {
    row: 'P6',
    results,
    notes: [
      `QEMU ${qemuVersion()}, TCG; the bridge is a process of its own, its machine is at the shell, as is the peers'`,
      'peers write files in memory-backed or other temporary storage and are read back: there is no other way in QMP',
    ],
  };
}

/** A Linux that `vitrine serve` runs, and a client of it. */
class ServedLinux {
  readonly machine: RemoteGuest;
  readonly #process: ChildProcess;
  readonly #close: () => void;

  private constructor(process: ChildProcess, machine: RemoteGuest, close: () => void) {
    this.#process = process;
    this.machine = machine;
    this.#close = close;
  }

  static async start(folder: string): Promise<ServedLinux> {
    const env = { ...process.env, VITRINE_RUN_DIR: join(folder, 'run') };
    const args = [CLI, 'serve', '--listen', '127.0.0.1:0', '--store', join(folder, 'store'), '--json'];
    const server = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'ignore'] });
    const lines = createInterface({ input: server.stdout! });
    const [line] = await new Promise<[string]>((resolve, reject) => {
      lines.once('line', (text) => resolve([text]));
      server.once('exit', () => reject(new Error('vitrine serve ended')));
    });
    const { origin, tokenFile } = JSON.parse(line) as { origin: string; tokenFile: string };
    const { token } = JSON.parse(await readFile(tokenFile, 'utf8')) as { token: string };
    const url = `${origin.replace('http', 'ws')}/bridge`;
    const Socket = class extends WebSocket {
      constructor(address: string, protocols: string[]) {
        super(address, protocols, {
          headers: { Authorization: `Bearer ${token}` },
          perMessageDeflate: false,
        });
      }
    } as unknown as WebSocketConstructor;
    const client = await connectBridge(() => openWebSocketChannel(url, { WebSocket: Socket }));
    const images = join(ROOT, '.guests');
    const kernel = ['-kernel', join(images, 'vmlinuz'), '-initrd', join(images, 'initrd')];
    const append = 'console=ttyS0,115200 quiet mitigations=off random.trust_cpu=on nomodeset';
    const machine = await client.run({
      name: 'linux',
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
    return new ServedLinux(server, machine, () => client.close());
  }

  async close(): Promise<void> {
    this.#close();
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGTERM');
    await ended;
  }
}
