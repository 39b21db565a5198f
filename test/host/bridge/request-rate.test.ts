// How many requests a second a bridge takes from whom: each bound a key of its configuration.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { connectBridge } from '../../../src/bridge/bridge-client.ts';
import { type LocalBridge, openLocalBridge } from '../../../src/host/bridge/local-bridge.ts';
import { digestOf, newSecret } from '../../../src/host/bridge/secret-table.ts';
import { configOf } from '../../../src/host/bridge/serve-config.ts';

const LIMITS = {
  requestsPerSecond: 10,
  requestBurst: 3,
  ownerRequestsPerSecond: 1000,
  ownerRequestBurst: 40,
};

let folder: string;
let bridge: LocalBridge;
const student = newSecret();
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-rate-'));
  const tokens = [
    { name: 'student', sha256: Buffer.from(digestOf(student)).toString('hex'), access: { '*': ['observe'] } },
  ];
  const config = configOf({ listen: '127.0.0.1:0', page: folder, limits: LIMITS, tokens });
  bridge = await openLocalBridge(config, {
    store: join(folder, 'store'),
    version: '0.0.0-test',
    log: () => {},
    runFolder: join(folder, 'run'),
  });
});
afterEach(async () => {
  await bridge.close();
  await rm(folder, { recursive: true, force: true });
});

/** The bridge's count of requests that it put off. */
async function refused(owner: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${bridge.server.port}/metrics`, {
    headers: { authorization: `Bearer ${owner}` },
  });
  const lines = (await answer.text()).matchAll(
    /^vitrine_bridge_verbs_total\{.*result="overloaded".*\} (\d+)$/gm,
  );
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}

async function ask(token: string, requests: number): Promise<void> {
  const client = await connectBridge(`ws://127.0.0.1:${bridge.server.port}/bridge`, { WebSocket, token });
  await Promise.all(Array.from({ length: requests }, () => client.machines()));
  client.close();
}

it('takes more from a program of its own user than from others', async () => {
  const { token: owner } = JSON.parse(await readFile(bridge.tokenFile, 'utf8'));
  await ask(owner, 35);
  expect(await refused(owner)).toBe(0);
  await ask(student, 6);
  expect(await refused(owner)).toBeGreaterThan(2);
});
