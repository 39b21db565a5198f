// `vitrine` as a shell runs it, but in this process: what it prints, what it writes, and its exit codes.

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../../src/host/cli/run-cli.ts';
import { clearMarks, mapOf, marksIn } from '../../src/instrument/index.ts';
import { wat } from '../support/wat.ts';

const MODULE = wat(`(module (memory (export "memory") 1 9)
  (func (export "store") (param i32) (i32.store (local.get 0) (i32.const 1))))`);

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-cli-'));
  await writeFile(join(folder, 'in.wasm'), MODULE);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function vitrine(...args: string[]): Promise<{ code: number; out: string; error: string }> {
  const printed = { out: '', error: '' };
  const code = await runCli(args, {
    out: (text) => {
      printed.out += text;
    },
    error: (text) => {
      printed.error += text;
    },
  });
  return { code, ...printed };
}

const at = (name: string): string => join(folder, name);

describe('vitrine instrument', () => {
  it('writes a module that marks', async () => {
    const { code, out, error } = await vitrine('instrument', at('in.wasm'), '-o', at('out.wasm'), '--marks');
    expect({ code, error }).toEqual({ code: 0, error: '' });
    expect(out).toContain('1 stores');
    const bytes = Uint8Array.from(await readFile(at('out.wasm')));
    const map = mapOf(bytes)!;
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
    // Safe: both are the module's above.
    const { memory, store } = exports as unknown as { memory: WebAssembly.Memory; store(at: number): void };
    clearMarks(memory.buffer, map);
    store(9_000);
    expect([...marksIn(memory.buffer, map)].indexOf(1)).toBe(2);
    expect(await readdir(folder)).toEqual(['in.wasm', 'out.wasm']);
  });

  it('says as JSON what it did', async () => {
    const { code, out } = await vitrine(
      ...['instrument', at('in.wasm'), '--output', at('out.wasm'), '--barriers', '--shared', '4', '--json'],
      ...['--page-bytes', '1024'],
    );
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      output: at('out.wasm'),
      map: { kind: 'barriers', pageBytes: 1024, maxPages: 4 },
      memory: { shared: true, isImported: false },
      report: { stores: 1 },
    });
  });

  it.each([
    [[]],
    [['in.wasm', '--marks']],
    [['in.wasm', '-o', 'out.wasm']],
    [['in.wasm', 'other.wasm', '-o', 'out.wasm', '--marks']],
    [['in.wasm', '-o', 'out.wasm', '--shared', 'many']],
    [['in.wasm', '-o', 'out.wasm', '--marks', '--nonsense']],
    [['in.wasm', '-o', '-', '--marks', '--json']],
  ])('answers 2 to %j, and does nothing', async (args) => {
    const paths = args.map((arg) => (arg.endsWith('.wasm') ? at(arg) : arg));
    const { code, out, error } = await vitrine('instrument', ...paths);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(error).toMatch(/^vitrine instrument: .+\nvitrine instrument --help tells more\.\n$/);
    expect(await readdir(folder)).toEqual(['in.wasm']);
  });

  it('answers with the code of what failed, and leaves no half file', async () => {
    await writeFile(at('in.wasm'), wat('(module (memory 1) (memory 1))'));
    const { code, error } = await vitrine('instrument', at('in.wasm'), '-o', at('out.wasm'), '--marks');
    expect(code).toBe(1);
    expect(error).toMatch(/^vitrine: unsupported: .*several memories/);
    const missing = await vitrine('instrument', at('none.wasm'), '-o', at('out.wasm'), '--marks');
    expect(missing.code).toBe(3);
    expect(missing.error).toMatch(/^vitrine: not-found: .*none\.wasm/);
    const nowhere = await vitrine('instrument', at('in.wasm'), '-o', at('no/out.wasm'), '--shared', '9');
    expect(nowhere.code).toBe(1);
    expect(await readdir(folder)).toEqual(['in.wasm']);
  });
});

describe('vitrine', () => {
  it('helps: examples first', async () => {
    for (const args of [
      ['instrument', '--help'],
      ['instrument', '-h'],
      ['help', 'instrument'],
    ]) {
      const { code, out } = await vitrine(...args);
      expect(code).toBe(0);
      expect(out).toMatch(/^vitrine instrument game\.wasm -o /);
    }
    expect(await vitrine('--help')).toMatchObject({ code: 0, out: expect.stringContaining('instrument') });
  });

  it('answers 2 where there is no command', async () => {
    expect(await vitrine()).toMatchObject({ code: 2, out: expect.stringContaining('instrument') });
    expect(await vitrine('frobnicate')).toMatchObject({
      code: 2,
      error: expect.stringContaining('frobnicate'),
    });
    for (const [typed, meant] of [
      ['lss', 'ls'],
      ['svae', 'save'],
      ['sav', 'save'],
      ['pook', 'peek'],
    ] as const) {
      const { error } = await vitrine(typed);
      expect(error.includes(`did you mean "${meant}"`), typed).toBe(typed !== 'pook');
    }
  });
});
