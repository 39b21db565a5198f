// The fuzzing example on a real machine through a real bridge: a program in a PC with a bug behind three bytes, found by going back
// hundreds of times.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type BridgeClient, connectBridge } from '../../src/bridge/bridge-client.ts';
import { fuzzMachine } from '../../src/testing/fuzz-machine-example.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { type RunningCommand, startCommand } from '../host/cli/shell.ts';

const INPUT = 0x2000;
const REACHED = 0x3000;
const FAILED = 0x3010;
/** GNU as, 16 bits, at f000:0000. It looks at its input over and over. */
const PROGRAM =
  'fa31c08ed8' + // cli; xor ax,ax; mov ds,ax
  '803e00207f75f9c606003001' + // again: cmp byte [2000h],7fh; jne again; mov byte [3000h],1
  '803e01208075edc606013001' + // cmp byte [2001h],80h; jne again; mov byte [3001h],1
  '803e0220ff75e1c606023001' + // cmp byte [2002h],0ffh; jne again; mov byte [3002h],1
  'c606103001ebd5'; // mov byte [3010h],1; jmp again

let folder = '';
let serving: RunningCommand;
let bridge: BridgeClient;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-fuzz-'));
  const environment = { VITRINE_RUN_DIR: join(folder, 'run'), VITRINE_STORE: join(folder, 'store') };
  serving = startCommand(['serve', '--listen', '127.0.0.1:0', '--json'], environment);
  const { origin, tokenFile } = JSON.parse(await serving.firstLine) as Record<string, string>;
  const { token } = JSON.parse(await readFile(tokenFile!, 'utf8')) as { token: string };
  bridge = await connectBridge(`${origin!.replace('http', 'ws')}/bridge`, { WebSocket, token });
  const rom = new Uint8Array(65_536).fill(0xff);
  rom.set(Buffer.from(PROGRAM, 'hex'));
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  const bios = join(folder, 'fuzzed.bin');
  await writeFile(bios, rom);
  const args = ['-cpu', 'qemu64,-apic', '-bios', bios];
  await bridge.run({ name: 'fuzz', memoryBytes: 4 * 2 ** 20, arguments: args });
});
afterAll(async () => {
  bridge?.close();
  serving?.interrupt();
  await serving?.ended;
  await rm(folder, { recursive: true, force: true });
});

it('finds what makes a program fail, step by step, and leaves the machine where it began', async () => {
  const machine = bridge.machine('fuzz');
  const lines: string[] = [];
  const options = {
    input: { address: INPUT, maxBytes: 8 },
    coverage: { address: REACHED, lengthBytes: 8 },
    failed: { address: FAILED },
    print: (line: string) => void lines.push(line),
  };
  const { crasher, corpus, runs } = await fuzzMachine(machine, options);
  expect([...crasher!.subarray(0, 3)]).toEqual([0x7f, 0x80, 0xff]);
  // Not by luck alone: what brought it further was kept, and changed further.
  expect(corpus.length).toBeGreaterThan(0);
  for (const document of corpus) expect(document[0]).toBe(0x7f);
  expect(lines.at(-1)).toMatch(new RegExp(`^${runs} documents in \\d+ ms: \\d+ resets a second, seed 1$`));
  const { bytes } = await machine.peek([{ address: REACHED, lengthBytes: 17 }]);
  expect(bytes[0]!.every((byte) => byte === 0)).toBe(true);
  expect((await machine.status()).state).toBe('paused');
  // With what it found the program fails at once.
  await machine.poke({ address: INPUT }, crasher!);
  await machine.resume();
  await expect
    .poll(async () => (await machine.peek([{ address: FAILED, lengthBytes: 1 }])).bytes[0]![0])
    .toBe(1);
  expect(await codeOf(() => fuzzMachine(machine, { ...options, signal: AbortSignal.abort() }))).toBe(
    'aborted',
  );
});
