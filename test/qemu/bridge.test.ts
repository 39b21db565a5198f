// The bridge's client against `vitrine serve` and a real QEMU, over real sockets: a connection that is cut while it saves, peeks
// of one instant while the machine writes, and a snapshot that is brought home.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { toHex } from '../../src/base/bytes.ts';
import { MIB } from '../../src/base/limits.ts';
import { type BridgeClient, connectBridge } from '../../src/bridge/bridge-client.ts';
import type { RemoteGuest } from '../../src/bridge/remote-guest.ts';
import { sync } from '../../src/bridge/sync.ts';
import { openWebSocketChannel } from '../../src/bridge/web-socket-channel.ts';
import { PULSE, PULSE_FACTS } from '../../src/guest/pulse/pulse.ts';
import { bearerSocket } from '../../src/host/bridge/bearer-socket.ts';
import { type RunningCommand, startCommand } from '../host/cli/shell.ts';
import { openTestEngine } from '../support/engine.ts';
import { pulseRomFile, randomAfter } from './pulse-machine.ts';

let folder = '';
let rom: Awaited<ReturnType<typeof pulseRomFile>>;
let serving: RunningCommand;
let client: BridgeClient;
let pulse: RemoteGuest;
/** Every connection that was made. */
const sockets: WebSocket[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-bridge-qemu-'));
  rom = await pulseRomFile();
  const environment = { VITRINE_RUN_DIR: join(folder, 'run'), VITRINE_STORE: join(folder, 'store') };
  serving = startCommand(['serve', '--listen', '127.0.0.1:0', '--json'], environment);
  const { origin, tokenFile } = JSON.parse(await serving.firstLine) as { origin: string; tokenFile: string };
  const { token } = JSON.parse(await readFile(tokenFile, 'utf8')) as { token: string };
  const Bearer = bearerSocket(token, () => {}) as unknown as new (
    url: string,
    protocols: string[],
  ) => WebSocket;
  const Kept = class extends Bearer {
    constructor(url: string, protocols: string[]) {
      super(url, protocols);
      sockets.push(this);
    }
  };
  const url = `${origin.replace('http', 'ws')}/bridge`;
  client = await connectBridge(() => openWebSocketChannel(url, { WebSocket: Kept as never }));
  pulse = await client.run({
    name: 'pulse',
    memoryBytes: PULSE_FACTS.memoryBytes,
    arguments: ['-cpu', 'qemu64,-apic', '-bios', rom.bios],
  });
});

afterAll(async () => {
  client?.close();
  serving?.interrupt();
  await serving?.ended;
  await rom?.remove();
  await rm(folder, { recursive: true, force: true });
});

interface Facts {
  readonly loops: number;
  readonly random: number;
  readonly rests: boolean;
}

function factsIn(words: Uint8Array<ArrayBuffer>): Facts {
  const view = new DataView(words.buffer, words.byteOffset);
  const word = (address: number): number => view.getUint32(address - PULSE.magic, true);
  return {
    loops: word(PULSE.loops),
    random: word(PULSE.random),
    rests: word(PULSE.ticks) === word(PULSE.worked),
  };
}

async function facts(machine: RemoteGuest): Promise<Facts> {
  const { bytes } = await machine.peek([{ address: PULSE.magic, lengthBytes: 64 }]);
  return factsIn(bytes[0]!);
}

describe('a QEMU machine behind a bridge', () => {
  it('is saved though the connection is cut, once, and goes on from there', async () => {
    await expect.poll(async () => (await facts(pulse)).loops, { timeout: 60_000 }).toBeGreaterThan(5);
    const saving = pulse.save({ label: 'over a cut connection' });
    await expect
      .poll(async () => (await client.jobs()).map(({ verb }) => verb), { interval: 1 })
      .toContain('save');
    sockets.at(-1)!.terminate();
    const { snapshot } = await saving;
    await expect.poll(() => sockets.length).toBe(2);
    expect((await client.log()).map(({ id, label }) => [id, label])).toEqual([
      [snapshot.id, 'over a cut connection'],
    ]);
    expect(await client.verify(snapshot.id)).toMatchObject({ damagedCount: 0 });
    const [words] = await client.peek(snapshot.id, [{ address: PULSE.magic, lengthBytes: 64 }]);
    const saved = factsIn(words!);
    await expect.poll(async () => (await facts(pulse)).loops).toBeGreaterThan(saved.loops + 20);
    await pulse.pause();
    await pulse.restore(snapshot.id);
    expect(await facts(pulse)).toEqual(saved);
    await pulse.resume();
    // Its generator tells that no page was skipped or done twice.
    await expect
      .poll(async () => {
        const { loops, random, rests } = await facts(pulse);
        return loops > saved.loops + 20 && rests && random === randomAfter(loops);
      })
      .toBe(true);
  });

  it('is peeked at one instant, all of its memory, while it writes', async () => {
    const seen = new Set<string>();
    while (seen.size < 3) {
      const { bytes, consistency } = await pulse.peek([
        { address: PULSE.magic, lengthBytes: 64 },
        { address: MIB, lengthBytes: PULSE_FACTS.memoryBytes - MIB },
        { address: PULSE.magic, lengthBytes: 64 },
      ]);
      expect(consistency).toBe('instant');
      expect(toHex(bytes[2]!)).toBe(toHex(bytes[0]!));
      const { loops, random, rests } = factsIn(bytes[0]!);
      if (!rests) continue;
      expect(random).toBe(randomAfter(loops));
      seen.add(String(loops));
    }
  });

  it('is peeked while it runs on, where bytes may be of different instants', async () => {
    const { loops: before } = await facts(pulse);
    const torn = async () => {
      const { bytes, pauseMs, consistency } = await pulse.peek([{ address: PULSE.magic, lengthBytes: 64 }], {
        consistency: 'torn',
      });
      expect({ pauseMs, consistency }).toEqual({ pauseMs: 0, consistency: 'torn' });
      return factsIn(bytes[0]!).loops;
    };
    await expect.poll(torn).toBeGreaterThan(before + 20);
    // Nobody stopped it in between.
    await pulse.pause();
    const held = await torn();
    expect(await torn()).toBe(held);
    expect((await facts(pulse)).loops).toBe(held);
    await pulse.resume();
  });

  it('has snapshots that are brought home by what is missing there', async () => {
    const home = await openTestEngine();
    await pulse.pause();
    const { snapshot: first } = await pulse.save({ label: 'at rest' });
    const whole = await sync(client, home, first.id);
    // The memory of a machine that is held does not change; what its devices say of the time may.
    const { snapshot } = await pulse.save({ label: 'at rest still' });
    const rest = await sync(client, home, snapshot.id);
    expect(rest.objectsOffered).toBeLessThan(whole.objectsOffered / 2);
    await pulse.resume();
    expect(await home.verify(snapshot.id)).toMatchObject({ damaged: [] });
    const range = [{ address: MIB, lengthBytes: 2 * MIB }];
    const [here] = await home.peek(snapshot.id, range);
    const [there] = await client.peek(snapshot.id, range);
    expect(Buffer.compare(here!, there!)).toBe(0);
  });
});
