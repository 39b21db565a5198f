// The proof: real guests in real Chromium, on the built page, isolated and not. Each is saved, changed, saved again; the
// tab is closed; another one restores each snapshot, holds exactly the RAM that was saved, and goes on. A fork of a snapshot
// holds that RAM too, and then both go their own ways.
//
// RAM is compared by SHA-256 of a live peek of every region while the guest stands still: nothing of the engine's own
// digests is trusted for it.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {} from '../../src/app/main.ts';
import { PULSE } from '../../src/guest/pulse/pulse.ts';
import { buildPage, type PageServer, servePage } from './app/page-server.ts';
import { launchChromium } from './harness.ts';

declare global {
  interface Window {
    /** What the guest wrote since it was opened by this test. */
    output: string;
    /** The guest that is typed at. */
    typedAt: string;
  }
}

/** A snapshot, and what the test itself saw at that instant. */
interface Frozen {
  readonly id: string;
  readonly ram: string;
}

let profile: string;
let context: BrowserContext;

beforeAll(async () => {
  await buildPage();
  profile = await mkdtemp(join(tmpdir(), 'vitrine-proof-'));
  context = await launchChromium(profile);
});

afterAll(async () => {
  await context?.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 3 });
});

describe.each([true, false])('isolated: %s', (isolated) => {
  let server: PageServer;
  let page: Page;

  beforeAll(async () => {
    server = await servePage({ isolated });
  });

  afterAll(async () => {
    await page?.close();
    await server.close();
  });

  /** A new tab with the page in it; the old one is closed. */
  async function reopen(): Promise<void> {
    await page?.close();
    page = await context.newPage();
    await page.goto(server.origin);
    await page.waitForFunction(() => window.vitrine?.workspace.engine.value !== null);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(isolated);
  }

  it('MicroPython: variables, the half-typed line, and what it answers', async () => {
    await reopen();
    await open(page, 'micropython');
    await type(page, '\r', '>>> ');
    await type(page, 'x = [1, 2]\r');
    await type(page, 'f = lambda n: n * x[-1]\r');
    await type(page, 'f(20)\r', '40');
    await type(page, 'x + ', 'x + ');
    const first = await save(page, 'micropython', 'x is [1, 2]');
    await type(page, '[3]\r', '[1, 2, 3]');
    await type(page, 'x = "changed"\r');
    const second = await save(page, 'micropython', 'x is changed');
    await reopen();
    await open(page, 'micropython');
    await type(page, '\r', '>>> ');
    await expectRestored(page, 'micropython', first);
    await type(page, '[9]\r', '[1, 2, 9]');
    await type(page, 'f(21)\r', '42');
    await expectRestored(page, 'micropython', second);
    await type(page, 'x\r', "'changed'");
    await expectRestored(page, 'micropython', first);
    await type(page, '[5]\r', '[1, 2, 5]');
    const fork = await expectForked(page, first);
    await talkTo(page, fork);
    await type(page, '[7]\r', '[1, 2, 7]');
    await type(page, 'x = "of the fork"\r');
    await talkTo(page, 'micropython');
    await type(page, 'x\r', '[1, 2]');
    await type(page, 'x = "of the first"\r');
    await talkTo(page, fork);
    await type(page, 'x, f\r', "('of the fork', <function");
    await talkTo(page, 'micropython');
    await type(page, 'x\r', "'of the first'");
  });

  it('Pulse: the exact next values of its counters', async () => {
    await reopen();
    await open(page, 'pulse');
    await waitForWord(page, PULSE.health, (health) => health === 1);
    const [first, atFirst] = await savePulse(page, 'first');
    await waitForWord(page, PULSE.rounds, (rounds) => rounds > atFirst.rounds);
    await type(page, 'abc');
    await waitForWord(page, PULSE.keys, (keys) => keys === atFirst.keys + 3);
    const [second, atSecond] = await savePulse(page, 'second');
    await reopen();
    await open(page, 'pulse');
    for (const [frozen, words] of [
      [second, atSecond],
      [first, atFirst],
      [first, atFirst],
    ] as const) {
      await expectRestored(page, 'pulse', frozen, { thenRun: false });
      expect(await pulse(page)).toEqual(words);
      await setRunning(page, 'pulse', true);
      await waitForWord(page, PULSE.rounds, (rounds) => rounds > words.rounds + 1);
      await setRunning(page, 'pulse', false);
      const later = await pulse(page);
      // Memory was verified by the guest itself, and its generator went on from exactly where it was.
      expect(later.health).toBe(1);
      expect(later.random).toBe(advance(words.random, later.loops - words.loops));
      expect(later.keys).toBe(words.keys);
    }
    const fork = await expectForked(page, second, { thenRun: false });
    expect(await pulse(page, fork)).toEqual(atSecond);
    const ahead = await pulse(page);
    await setRunning(page, fork, true);
    await talkTo(page, fork);
    await type(page, 'xy');
    await waitForWord(page, PULSE.keys, (keys) => keys === atSecond.keys + 2, fork);
    await waitForWord(page, PULSE.rounds, (rounds) => rounds > atSecond.rounds + 1, fork);
    expect(await pulse(page), 'the first stood still all the while').toEqual(ahead);
    await setRunning(page, fork, false);
    const forked = await pulse(page, fork);
    expect(forked.random).toBe(advance(atSecond.random, forked.loops - atSecond.loops));
    await setRunning(page, 'pulse', true);
    await waitForWord(page, PULSE.rounds, (rounds) => rounds > ahead.rounds + 1);
    await setRunning(page, 'pulse', false);
    const later = await pulse(page);
    expect(later.random).toBe(advance(ahead.random, later.loops - ahead.loops));
    expect([later.health, later.keys, forked.health]).toEqual([1, ahead.keys, 1]);
    expect(await pulse(page, fork), 'the fork stood still all the while').toEqual(forked);
  });

  it('Linux: a shell that answers, files, and a clock that ticks', async () => {
    await reopen();
    await open(page, 'linux');
    await waitForOutput(page, '# ', 240_000);
    const run = async (command: string, answer = '') => expect(await shell(page, command)).toContain(answer);
    await run('stty -echo; n=41; seq 1 20000 | md5sum > /tmp/sum; echo A > /tmp/file');
    await run(
      'dd if=/dev/urandom of=/tmp/random bs=64k count=32 2>/dev/null; md5sum /tmp/random > /tmp/random.md5',
    );
    const first = await save(page, 'linux', 'n is 41');
    await run('n=77; echo B > /tmp/file; rm /tmp/random');
    const second = await save(page, 'linux', 'n is 77');
    await reopen();
    await open(page, 'linux');
    await expectRestored(page, 'linux', first);
    await run('echo n=$((n+1)) $(cat /tmp/file)', 'n=42 A');
    await run('md5sum -c /tmp/random.md5', 'OK');
    const before = await uptime(page);
    await run('sleep 1; echo slept', 'slept');
    expect(await uptime(page)).toBeGreaterThan(before + 0.9);
    await expectRestored(page, 'linux', second);
    await run('echo n=$((n+1)) $(cat /tmp/file)', 'n=78 B');
    await expectRestored(page, 'linux', first);
    await run('echo n=$((n+1)) $(cat /tmp/file)', 'n=42 A');
    await run('ls / | sort | head -1', 'bin');
    const fork = await expectForked(page, second);
    await talkTo(page, fork);
    await run('echo n=$((n+1)) $(cat /tmp/file); n=1000; echo fork > /tmp/file', 'n=78 B');
    await talkTo(page, 'linux');
    await run('echo n=$n $(cat /tmp/file); n=2000; echo first > /tmp/file', 'n=41 A');
    await talkTo(page, fork);
    await run('echo n=$n $(cat /tmp/file)', 'n=1000 fork');
    await talkTo(page, 'linux');
    await run('echo n=$n $(cat /tmp/file)', 'n=2000 first');
    await run('md5sum -c /tmp/random.md5', 'OK');
  });
});

/** Opens a guest on the page and listens to what it writes. */
async function open(page: Page, name: string): Promise<void> {
  await page.evaluate(async (name) => {
    const machine = await window.vitrine.workspace.open(name);
    await machine.joined;
    window.output = '';
    window.typedAt = name;
    await machine.guest.onOutput((text) => {
      if (window.typedAt === name) window.output += text;
    });
  }, name);
}

/** Has `type` go to this guest and `output` hold what it says: one that was opened or forked before. */
function talkTo(page: Page, name: string): Promise<void> {
  return page.evaluate((name) => {
    window.output = '';
    window.typedAt = name;
  }, name);
}

async function waitForOutput(page: Page, text: string, timeout = 30_000): Promise<void> {
  await page.waitForFunction((text) => window.output.includes(text), text, { timeout });
}

/** Types at the open guest's terminal and waits for `answer` in what it writes after that. */
async function type(page: Page, text: string, answer = ''): Promise<void> {
  await page.evaluate((text) => {
    window.output = '';
    window.vitrine.workspace.find(window.typedAt)!.write(text);
  }, text);
  try {
    await waitForOutput(page, answer, 60_000);
  } catch (cause) {
    const output = await page.evaluate(() => window.output);
    throw new Error(`${JSON.stringify(text)} was answered ${JSON.stringify(output)}`, { cause });
  }
}

function setRunning(page: Page, name: string, running: boolean): Promise<void> {
  return page.evaluate(([name, running]) => window.vitrine.workspace.find(name)!.setRunning(running), [
    name,
    running,
  ] as const);
}

/** Stops the guest, saves it, looks at its RAM, lets it run. */
async function save(page: Page, name: string, label: string): Promise<Frozen> {
  await setRunning(page, name, false);
  const report = await page.evaluate(
    ([name, label]) => {
      const { workspace } = window.vitrine;
      return workspace.save(workspace.find(name)!, label, 'fast');
    },
    [name, label] as const,
  );
  expect(report.pagesChanged).toBeGreaterThan(0);
  const ram = await ramDigest(page, name);
  await setRunning(page, name, true);
  return { id: report.snapshot.id, ram };
}

/** Restores a snapshot into the stopped guest and compares all of RAM; then lets it run, unless told. */
async function expectRestored(
  page: Page,
  name: string,
  frozen: Frozen,
  { thenRun = true } = {},
): Promise<void> {
  await setRunning(page, name, false);
  await page.evaluate(
    ([name, id]) => {
      const { workspace } = window.vitrine;
      return workspace.restore(workspace.find(name)!, id);
    },
    [name, frozen.id] as const,
  );
  expect(await ramDigest(page, name)).toBe(frozen.ram);
  if (thenRun) await setRunning(page, name, true);
}

/**
 * Forks a snapshot as the page does, with the fork stopped from its first moment, and compares all of its RAM; then lets it
 * run, unless told. Returns its name.
 */
async function expectForked(page: Page, frozen: Frozen, { thenRun = true } = {}): Promise<string> {
  const name = await page.evaluate(async (id) => {
    const { workspace } = window.vitrine;
    const open = new Set(workspace.machines.value);
    const stopping: Promise<void>[] = [];
    const leave = workspace.machines.watch((machines) => {
      for (const machine of machines) {
        if (open.has(machine)) continue;
        open.add(machine);
        stopping.push(machine.setRunning(false));
      }
    });
    const fork = await workspace.fork(workspace.snapshots.value.find((one) => one.id === id)!);
    leave();
    await Promise.all(stopping);
    return fork.name;
  }, frozen.id);
  expect(name).toMatch(/-fork-1$/);
  expect(await ramDigest(page, name)).toBe(frozen.ram);
  await open(page, name);
  if (thenRun) await setRunning(page, name, true);
  return name;
}

/** SHA-256 of every region of the live guest, all of one instant. */
function ramDigest(page: Page, name: string): Promise<string> {
  return page.evaluate(async (name) => {
    const open = window.vitrine.workspace.find(name)!;
    const machine = await open.joined;
    const ranges = open.guest.description.regions.map(({ name, sizeBytes }) => ({
      region: name,
      offsetBytes: 0,
      lengthBytes: sizeBytes,
    }));
    const { bytes } = await machine.peek(ranges);
    const digests = await Promise.all(bytes.map((one) => crypto.subtle.digest('SHA-256', one)));
    return digests
      .map((one) => Array.from(new Uint8Array(one), (byte) => byte.toString(16)).join(''))
      .join(' ');
  }, name);
}

/** As `save`, with the words of Pulse's state at that instant, as the snapshot itself tells them. */
async function savePulse(page: Page, label: string) {
  const frozen = await save(page, 'pulse', label);
  const words = await page.evaluate(
    async ([id, ...addresses]) => {
      const engine = window.vitrine.workspace.requireEngine();
      const bytes = await engine.peek(
        id,
        addresses.map((address) => ({ address, lengthBytes: 4 })),
      );
      return bytes.map((one) => new DataView(one.buffer, one.byteOffset).getUint32(0, true));
    },
    [frozen.id, ...PULSE_WORDS] as const,
  );
  return [frozen, pulseOf(words)] as const;
}

/** A word of a live Pulse machine. */
function readWord(page: Page, address: number, name: string): Promise<number> {
  return page.evaluate(
    async ([address, name]) => {
      const machine = await window.vitrine.workspace.find(name)!.joined;
      const { bytes } = await machine.peek([{ address, lengthBytes: 4 }]);
      return new DataView(bytes[0]!.buffer).getUint32(0, true);
    },
    [address, name] as const,
  );
}

async function waitForWord(
  page: Page,
  address: number,
  holds: (value: number) => boolean,
  name = 'pulse',
): Promise<void> {
  await expect.poll(async () => holds(await readWord(page, address, name)), { timeout: 60_000 }).toBe(true);
}

const PULSE_WORDS = [PULSE.ticks, PULSE.loops, PULSE.random, PULSE.health, PULSE.rounds, PULSE.keys] as const;

function pulseOf(words: readonly number[]) {
  const [ticks = 0, loops = 0, random = 0, health = 0, rounds = 0, keys = 0] = words;
  return { ticks, loops, random, health, rounds, keys };
}

/** The words of a live machine's state that are compared; it stands still. */
async function pulse(page: Page, name = 'pulse') {
  return pulseOf(await Promise.all(PULSE_WORDS.map((address) => readWord(page, address, name))));
}

/** Pulse's generator after so many pages, of 1,024 words each. */
function advance(random: number, pages: number): number {
  let x = random;
  for (let i = 0; i < pages * 1024; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
  }
  return x >>> 0;
}

let commands = 0;

/** Runs a command in the Linux guest's shell and waits for its end; answers with what it printed. */
async function shell(page: Page, command: string): Promise<string> {
  const end = `end-${++commands}-`;
  // Quoted in two parts, so that the echo of what is typed is not taken for the end.
  await type(page, `${command}; echo "end""-${commands}-"\n`, end);
  return page.evaluate((end) => window.output.slice(0, window.output.indexOf(end)), end);
}

/** Seconds since the Linux guest booted, by its own clock. */
async function uptime(page: Page): Promise<number> {
  return Number.parseFloat((await shell(page, 'cut -d" " -f1 /proc/uptime')).trim());
}
