// Loaders of every kind are caught, and the platform is as it was afterwards.

import { describe, expect, it } from 'vitest';
import {
  type CaughtInstance,
  catchInstance,
  instantiateCaught,
} from '../../../src/guest/wasm/catch-instance.ts';
import { WasmInstanceGuest } from '../../../src/guest/wasm/wasm-instance.ts';
import { wat } from '../../support/wat.ts';
import { churnModule } from './churn.ts';

const bytes = churnModule();
const imports = { env: { host: () => {} } };
// Node's fetch brings a module of its own at its first use, which may be during a load.
const choose = ({ imports: { env } }: CaughtInstance) => env !== undefined && 'host' in env;
const NAMES = [
  'Module',
  'Instance',
  'compile',
  'compileStreaming',
  'instantiate',
  'instantiateStreaming',
] as const;
const platform = () => NAMES.map((name) => WebAssembly[name]);
const response = () => new Response(bytes, { headers: { 'content-type': 'application/wasm' } });

/** What a loader gets at the end. */
type Loaded = { run(steps: number): number };
const exportsOf = (instance: WebAssembly.Instance) => instance.exports as unknown as Loaded;

const loaders: Record<string, () => Promise<Loaded>> = {
  'instantiate with bytes': async () => exportsOf((await WebAssembly.instantiate(bytes, imports)).instance),
  'instantiate with a buffer': async () =>
    exportsOf((await WebAssembly.instantiate(bytes.slice().buffer, imports)).instance),
  instantiateStreaming: async () =>
    exportsOf((await WebAssembly.instantiateStreaming(response(), imports)).instance),
  'compile, then instantiate': async () => {
    const module = await WebAssembly.compile(bytes);
    expect(module).toBeInstanceOf(WebAssembly.Module);
    const instance = await WebAssembly.instantiate(module, imports);
    // wasm-bindgen tells the two forms of `instantiate` apart so.
    expect(instance).toBeInstanceOf(WebAssembly.Instance);
    return exportsOf(instance);
  },
  'compileStreaming, then an Instance': async () =>
    exportsOf(new WebAssembly.Instance(await WebAssembly.compileStreaming(response()), imports)),
  'new Module, new Instance': async () => {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
    expect(instance).toBeInstanceOf(WebAssembly.Instance);
    return exportsOf(instance);
  },
};

describe('catchInstance', () => {
  for (const [name, load] of Object.entries(loaders)) {
    it(`catches ${name}`, async () => {
      const before = platform();
      const { result, caught } = await catchInstance(load, { choose });
      expect(platform()).toEqual(before);
      const guest = new WasmInstanceGuest(caught, { program: 'churn' });
      await guest.pause();
      const start = guest.saveDevices();
      expect(() => result.run(1)).toThrow(expect.objectContaining({ code: 'wrong-state' }));
      await guest.resume();
      result.run(10);
      await guest.pause();
      expect(guest.saveDevices()).not.toEqual(start);
      expect(caught.moduleBytes).toEqual(bytes);
      // What was added for us is not shown to the loader.
      expect(Object.keys(result).sort()).toEqual(['grow', 'grown', 'late', 'run', 'sizes']);
    });
  }

  it('answers at rest what globals alone tell, and refuses what memory does', async () => {
    const module = wat(`(module (memory (export "memory") 1) (global $sp (mut i32) (i32.const 4096))
      (func (export "current") (result i32) (global.get $sp))
      (func (export "top") (result i32) (i32.load (global.get $sp))))`);
    const load = async () => (await WebAssembly.instantiate(module)).instance.exports;
    const { result, caught } = await catchInstance(load, {
      choose: ({ instance }) => 'top' in instance.exports,
    });
    const guest = new WasmInstanceGuest(caught, { program: 'two-readers' });
    // Safe: the module's functions above.
    const { current, top } = result as unknown as Record<'current' | 'top', () => number>;
    await guest.pause();
    expect(current()).toBe(4096);
    expect(top).toThrow(expect.objectContaining({ code: 'wrong-state' }));
    await guest.resume();
    expect(top()).toBe(0);
  });

  it('copies aside, while a barrier is armed, the block that a call returned', async () => {
    const module = wat(`(module (memory (export "memory") 4)
      (func (export "allocate") (param i32) (result i32) (i32.add (i32.const 8192) (i32.load (i32.const 0)))))`);
    const { exports, caught } = await instantiateCaught(module, {}, { tracking: 'barrier' });
    const allocate = exports.allocate as (bytes: number) => number;
    const told: number[] = [];
    allocate(10_000);
    caught.marked!.arm((page) => told.push(page));
    expect(allocate(10_000)).toBe(8192);
    expect(told).toEqual([2, 3, 4]);
    caught.marked!.disarm();
    allocate(30_000);
    expect(told).toEqual([2, 3, 4]);
  });

  it('puts the platform back when the load fails', async () => {
    const before = platform();
    const failed = catchInstance(async () => {
      await WebAssembly.instantiate(bytes, {});
    });
    await expect(failed).rejects.toThrow(TypeError);
    const thrown = catchInstance(() => {
      throw new Error('no loader');
    });
    await expect(thrown).rejects.toThrow('no loader');
    expect(platform()).toEqual(before);
  });

  it('keeps loads apart that are started together', async () => {
    const before = platform();
    const load = loaders['instantiate with bytes']!;
    const loads = await Promise.all(Array.from({ length: 3 }, () => catchInstance(load, { choose })));
    expect(platform()).toEqual(before);
    expect(new Set(loads.map(({ caught }) => caught.instance)).size).toBe(3);
    const guests = loads.map(({ caught }) => new WasmInstanceGuest(caught, { program: 'churn' }));
    await guests[0]!.pause();
    expect(() => loads[0]!.result.run(1)).toThrow();
    loads[1]!.result.run(1);
  });

  it('lets modules through that it cannot freeze, and says why when there is no other', async () => {
    const shared = wat('(module (memory (export "m") 1 2 shared))');
    const load = async () => (await WebAssembly.instantiate(shared)).instance.exports.m;
    await expect(catchInstance(load)).rejects.toThrow(/shared memory/);
    const { result } = await catchInstance(
      async () => {
        await loaders['instantiate with bytes']!();
        return load();
      },
      { choose },
    );
    expect((result as WebAssembly.Memory).buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  it('refuses a load of no instance, and one of two unless told which', async () => {
    await expect(catchInstance(async () => 1)).rejects.toMatchObject({ code: 'unsupported' });
    const two = async () => {
      await WebAssembly.instantiate(bytes, imports);
      await WebAssembly.instantiate(bytes, { env: { host: imports.env.host, second: 1 } });
    };
    await expect(catchInstance(two, { choose })).rejects.toMatchObject({ code: 'unsupported' });
    const { caught } = await catchInstance(two, { choose: (one) => 'second' in one.imports.env! });
    expect(caught.imports.env).toHaveProperty('second');
  });
});
