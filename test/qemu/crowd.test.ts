// A crowd at one bridge: as many clients as it takes, each looking at machines and listening to one, while four machines are
// saved at once, again and again. Every answer is checked by Pulse's rules, every snapshot is whole, and the bridge's memory
// does not grow with the crowd.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { type BridgeClient, connectBridge } from '../../src/bridge/bridge-client.ts';
import { openWebSocketChannel } from '../../src/bridge/web-socket-channel.ts';
import { PULSE, PULSE_FACTS } from '../../src/guest/pulse/pulse.ts';
import { bearerSocket } from '../../src/host/bridge/bearer-socket.ts';
import { type RunningCommand, startCommand } from '../host/cli/shell.ts';
import { pulseRomFile, randomAfter } from './pulse-machine.ts';

const CLIENTS = 32;
const MACHINES = ['one', 'two', 'three', 'four'];
const ROUNDS = 3;
/** Of all that it holds: engine, four mirrors of 16 MiB, threads, 32 connections. It was 156 MiB. */
const MOST_BYTES = 400 * MIB;

let folder = '';
let rom: Awaited<ReturnType<typeof pulseRomFile>>;
let serving: RunningCommand;
let pid = 0;
const clients: BridgeClient[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-crowd-'));
  rom = await pulseRomFile();
  const environment = { VITRINE_RUN_DIR: join(folder, 'run'), VITRINE_STORE: join(folder, 'store') };
  // All of them are one visitor, who usually has eight.
  const config = join(folder, 'bridge.json');
  await writeFile(config, JSON.stringify({ limits: { connectionsPerSession: CLIENTS } }));
  const serve = ['serve', '--config', config, '--listen', '127.0.0.1:0', '--json'];
  serving = startCommand(serve, environment);
  const said = JSON.parse(await serving.firstLine) as { origin: string; tokenFile: string };
  const kept = JSON.parse(await readFile(said.tokenFile, 'utf8')) as { token: string; pid: number };
  pid = kept.pid;
  const url = `${said.origin.replace('http', 'ws')}/bridge`;
  for (let index = 0; index < CLIENTS; index++) {
    const WebSocket = bearerSocket(kept.token, () => {}) as never;
    clients.push(await connectBridge(() => openWebSocketChannel(url, { WebSocket })));
  }
  for (const name of MACHINES) {
    await clients[0]!.run({
      name,
      memoryBytes: PULSE_FACTS.memoryBytes,
      arguments: ['-cpu', 'qemu64,-apic', '-bios', rom.bios],
    });
  }
});

afterAll(async () => {
  for (const client of clients) client.close();
  serving?.interrupt();
  await serving?.ended;
  await rom?.remove();
  await rm(folder, { recursive: true, force: true });
});

/** Pulse's words at one instant, once it rests between two ticks: its generator must be where its count says. */
async function look(client: BridgeClient, name: string): Promise<number> {
  for (;;) {
    const { bytes } = await client.machine(name).peek([{ address: PULSE.magic, lengthBytes: 64 }]);
    const view = new DataView(bytes[0]!.buffer, bytes[0]!.byteOffset);
    const word = (address: number): number => view.getUint32(address - PULSE.magic, true);
    if (word(PULSE.magic) !== PULSE_FACTS.magic || word(PULSE.ticks) !== word(PULSE.worked)) continue;
    expect(word(PULSE.random)).toBe(randomAfter(word(PULSE.loops)));
    return word(PULSE.loops);
  }
}

describe('a crowd at a bridge', () => {
  it('is served while four machines are saved at once', async () => {
    const heard = new Array<number>(CLIENTS).fill(0);
    const consoles = clients.map((client, index) =>
      client.machine(MACHINES[index % 4]!).openConsole({
        onBytes: (bytes) => {
          heard[index]! += bytes.length;
        },
      }),
    );
    const visits = clients.map(async (client, index) => {
      const name = MACHINES[index % 4]!;
      let before = await look(client, name);
      for (let round = 0; round < ROUNDS; round++) {
        expect((await client.machines()).map((machine) => machine.name).sort()).toEqual([...MACHINES].sort());
        const now = await look(client, name);
        expect(now).toBeGreaterThanOrEqual(before);
        before = now;
      }
    });
    const saves = MACHINES.map(async (name, index) => {
      const ids: string[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const { snapshot } = await clients[index]!.machine(name).save({ label: `${name} ${round}` });
        expect(snapshot.machine).toBe(name);
        ids.push(snapshot.id);
      }
      return ids;
    });
    const ids = (await Promise.all(saves)).flat();
    await Promise.all(visits);
    expect((await clients[9]!.log()).map(({ id }) => id).sort()).toEqual([...ids].sort());
    for (const id of ids) expect(await clients[7]!.verify(id)).toMatchObject({ damagedCount: 0 });
    // Each hears its machine, which tells of itself on its serial line.
    await expect.poll(() => Math.min(...heard), { timeout: 60_000 }).toBeGreaterThan(0);
    for (const console of consoles) console.close();
    const status = await readFile(`/proc/${pid}/status`, 'latin1');
    const mostBytes = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
    expect(mostBytes).toBeLessThan(MOST_BYTES);
    // Each goes on from its own snapshot.
    await Promise.all(
      MACHINES.map(async (name, index) => {
        await clients[index]!.machine(name).restore(ids[index * ROUNDS]!);
        await look(clients[index]!, name);
      }),
    );
  });
});
