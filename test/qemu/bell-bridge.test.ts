// The doorbell and free pages of a Linux behind `vitrine serve`, as an operator allows and sees them: what is asked for stands in the
// log, in the audit and in the status, and copies read that they are copies, forked, lazy, and behind the next bridge.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type BellInfo, type BridgeClient, connectBridge } from '../../src/bridge/bridge-client.ts';
import type { RemoteConsole } from '../../src/bridge/remote-console.ts';
import { openWebSocketChannel } from '../../src/bridge/web-socket-channel.ts';
import { bearerSocket } from '../../src/host/bridge/bearer-socket.ts';
import { type RunningCommand, startCommand } from '../host/cli/shell.ts';
import { LINUX_TIMEOUT_MS, linuxProfile } from './linux-machine.ts';
import { NO_PAGE_FAULTS, QEMUS } from './pulse-machine.ts';
import { pulseShell } from './pulse-shell.ts';

let folder = '';
let environment: NodeJS.ProcessEnv = {};
let bridge: RunningCommand | undefined;
let client: BridgeClient;

/** The serial line of a machine, typed into and read. */
class Line {
  text = '';
  readonly #console: RemoteConsole;

  constructor(name: string) {
    this.#console = client.machine(name).openConsole({
      onBytes: (bytes) => {
        this.text += Buffer.from(bytes).toString('latin1');
      },
    });
  }

  type(line: string): void {
    this.text = '';
    this.#console.write(new TextEncoder().encode(`${line}\n`));
  }

  async until(pattern: RegExp): Promise<string> {
    const seen = () => pattern.exec(this.text);
    await vi.waitUntil(seen, { timeout: LINUX_TIMEOUT_MS, interval: 20 }).catch(() => {
      throw new Error(`${pattern} did not come after ${JSON.stringify(this.text.slice(-300))}`);
    });
    return seen()![1] ?? '';
  }
}

async function startBridge(...more: string[]): Promise<void> {
  bridge = startCommand(['serve', '--listen', '127.0.0.1:0', '--json', ...more], environment);
  const { origin, tokenFile } = JSON.parse(await bridge.firstLine) as { origin: string; tokenFile: string };
  const { token } = JSON.parse(await readFile(tokenFile, 'utf8')) as { token: string };
  const url = `${origin.replace('http', 'ws')}/bridge`;
  const WebSocket = bearerSocket(token, () => {}) as never;
  client = await connectBridge(() => openWebSocketChannel(url, { WebSocket }));
}

async function stopBridge(): Promise<void> {
  client?.close();
  bridge?.interrupt();
  expect(await bridge?.ended).toMatchObject({ code: 0 });
  bridge = undefined;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-bell-bridge-'));
  environment = { VITRINE_RUN_DIR: join(folder, 'run'), VITRINE_STORE: join(folder, 'store') };
  await startBridge('--keep-machines');
});
afterAll(async () => {
  if (bridge !== undefined) await stopBridge();
  await rm(folder, { recursive: true, force: true });
});

const { vitrine, done, json } = pulseShell(() => environment);

describe('a Linux behind a bridge', () => {
  let id = '';

  it('asks for what its operator allowed, which is told of', async () => {
    const { kernel, initrd, append } = linuxProfile(QEMUS[0]!.program);
    expect((await vitrine('run', 'web', '--doorbell', 'save,dance')).code).toBe(2);
    await done(
      ...['run', 'web', '--memory', '128M', '--free-pages', '--doorbell', 'save,reset', '--vmgenid', '--'],
      ...['-kernel', kernel!, '-initrd', initrd!, '-append', append!],
    );
    const line = new Line('web');
    await line.until(/is up/);
    const heard: BellInfo[] = [];
    const leave = new AbortController();
    const following = client
      .machine('web')
      .followBells((bell) => void heard.push(bell), { signal: leave.signal });
    line.type('bell checkpoint; bell save by itself; echo go""ne');
    id = await line.until(/refused not-allowed\r\nsaved ([0-9a-f]{64})\r\ngone/);
    expect(await done('log', 'web')).toContain('by itself');
    const { facts, base } = await json('status', 'web');
    expect(base).toBe(id);
    expect(facts).toMatchObject({
      ...{ doorbell: 'save, reset', bellRings: 2, bellSaves: 1, bellResets: 0, bellRefused: 1 },
      freePages: 'told',
    });
    line.type('bell reset');
    await line.until(new RegExp(`restored ${id}\\r\\ngone`));
    await expect
      .poll(() => heard, { timeout: 60_000 })
      .toMatchObject([
        { machine: 'web', asked: 'checkpoint', answer: 'refused', code: 'permission-denied', count: 1 },
        { machine: 'web', asked: 'save', answer: 'saved', code: null, snapshot: id },
        { machine: 'web', asked: 'reset', answer: 'restored', snapshot: id },
      ]);
    leave.abort();
    await expect(following).rejects.toMatchObject({ code: 'aborted' });
    expect(await done('bells', 'web')).toContain(`reset: restored ${id.slice(0, 12)}`);
    expect(await done('status', 'web')).toMatch(/^last ring +.*reset: restored/m);
    const audit = await readFile(`${join(folder, 'store')}.audit.jsonl`, 'utf8');
    const entries = audit
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text) as Record<string, unknown>);
    expect(entries.filter(({ verb }) => verb === 'doorbell')).toMatchObject([
      { subject: 'guest:web', outcome: 'permission-denied', notes: { asked: 'checkpoint' } },
      { subject: 'guest:web', outcome: 'ok', notes: { machine: 'web', asked: 'save', snapshot: id } },
      { subject: 'guest:web', outcome: 'ok', notes: { machine: 'web', asked: 'reset', snapshot: id } },
    ]);
  });

  it('says restored in a fork', async () => {
    // Its kernel has the driver, and the machine the device.
    expect((await vitrine('fork', id, 'copy')).error).toContain('It hears of it (vmgenid)');
    await new Line('copy').until(new RegExp(`restored ${id}\\r\\ngone`));
    await done('stop', 'copy');
  });

  // Pages that come as they are touched are userfaultfd's, which not everybody may use.
  it.skipIf(NO_PAGE_FAULTS)('says restored in a machine that runs before its memory is there', async () => {
    await done('restore', 'web', id, '--lazy');
    await new Line('web').until(new RegExp(`restored ${id}\\r\\ngone`));
  });

  it('is served by the next bridge as by the one before', async () => {
    await expect
      .poll(async () => (await json('status', 'web')).facts.doorbell, { timeout: 60_000 })
      .toBeDefined();
    await stopBridge();
    await startBridge();
    const line = new Line('web');
    line.type('bell save again; echo ag""ain');
    const again = await line.until(/saved ([0-9a-f]{64})\r\nagain/);
    expect((await json('status', 'web')).base).toBe(again);
    await done('stop', 'web');
  });
});

describe('a Linux that asks without end', () => {
  it('is told of as often as a reader can read, with the count of all its rings', async () => {
    const { kernel, initrd, append } = linuxProfile(QEMUS[0]!.program);
    await done(
      ...['run', 'flood', '--memory', '128M', '--doorbell', 'save', '--'],
      ...['-kernel', kernel!, '-initrd', initrd!, '-append', append!],
    );
    const line = new Line('flood');
    await line.until(/is up/);
    const heard: BellInfo[] = [];
    const leave = new AbortController();
    const hear = (bell: BellInfo): void => {
      if (bell.machine === 'flood') heard.push(bell);
    };
    const following = client.followBells(hear, { signal: leave.signal });
    following.catch(() => {});
    const device = '/dev/$(basename /sys/class/virtio-ports/*)';
    line.type(`(yes rubbish | head -n 400; yes reset | head -n 400) >${device}; echo fl""ood`);
    await line.until(/(flood)/);
    const refused = async () => (await json('status', 'flood')).facts.bellRefused;
    await expect.poll(refused, { timeout: 120_000 }).toBeGreaterThanOrEqual(800);
    const counted = () => heard.reduce((sum, { count }) => sum + count, 0);
    // Both go on while the last ones are answered.
    const untold = async () => (await refused()) - counted();
    await expect.poll(untold, { timeout: 60_000 }).toBe(0);
    expect(heard.length).toBeLessThan(200);
    leave.abort();
    await expect(following).rejects.toMatchObject({ code: 'aborted' });
    await done('stop', 'flood');
  });
});
