// A program with hidden state, against the suite that all guests pass; and what is particular to WebAssembly.

import { describe, expect, it } from 'vitest';
import { type CaughtInstance, instantiateCaught } from '../../../src/guest/wasm/catch-instance.ts';
import { WasmInstanceGuest, type WasmInstanceOptions } from '../../../src/guest/wasm/wasm-instance.ts';
import { guestConformance } from '../../../src/testing/guest-conformance.ts';
import { wat } from '../../support/wat.ts';
import { type ChurnExports, churnModule } from './churn.ts';

const churn = churnModule();

interface Churn {
  readonly guest: WasmInstanceGuest;
  readonly exports: ChurnExports;
  readonly caught: CaughtInstance;
}

async function openChurn(
  options: Partial<WasmInstanceOptions> & { readonly onHost?: () => void } = {},
): Promise<Churn> {
  const { onHost, ...guestOptions } = options;
  const { exports, caught } = await instantiateCaught(churn, { env: { host: () => onHost?.() } });
  const guest = new WasmInstanceGuest(caught, { program: 'churn', ...guestOptions });
  return { guest, exports: exports as unknown as ChurnExports, caught };
}

guestConformance(
  'WebAssembly instance that grows',
  async () => {
    const { guest, exports } = await openChurn();
    const run = async () => {
      exports.grow();
      return String(exports.run(1000));
    };
    // Not exact: a memory does not shrink, so a size in its records is larger the second time.
    return { guest, run, exact: false };
  },
  { describe, expect, it },
);

guestConformance(
  'WebAssembly instance',
  async () => {
    const { guest, exports } = await openChurn();
    return { guest, run: async () => String(exports.run(1000)) };
  },
  { describe, expect, it },
);

describe('WasmInstanceGuest', () => {
  it('has a region of the size that the memory may come to, and zeros past the present one', async () => {
    const { guest, exports } = await openChurn({ pageBytes: 1024 });
    expect(guest.regions).toMatchObject([{ name: 'memory', sizeBytes: 6 * 65_536, pageBytes: 1024 }]);
    exports.grow();
    expect(exports.sizes()).toBe(2002);
    await guest.pause();
    expect(guest.view(0)).toBeUndefined();
    expect(guest.takeDirty().pages[0]!.size).toBe(128);
    const bytes = new Uint8Array(4).fill(1);
    guest.readPages({ region: 0, offsetBytes: 2 * 65_536 - 1, lengthBytes: 4 }, bytes);
    expect([...bytes.subarray(1)]).toEqual([0, 0, 0]);
    await guest.resume();
    for (let i = 0; i < 20; i++) exports.grow();
    expect(exports.sizes()).toBe(6012);
    await guest.pause();
    expect(guest.view(0)).toHaveLength(6 * 65_536);
  });

  it('grows for bytes past the present end, and not for zeros', async () => {
    const { guest, exports } = await openChurn();
    await guest.pause();
    guest.writePages({ region: 0, offsetBytes: 65_530, lengthBytes: 200_000 }, new Uint8Array(200_000));
    await guest.resume();
    expect(exports.sizes()).toBe(1001);
    await guest.pause();
    guest.writePages({ region: 0, offsetBytes: 3 * 65_536, lengthBytes: 2 }, Uint8Array.of(7, 0));
    await guest.resume();
    expect(exports.sizes()).toBe(4001);
  });

  it('gives a fresh instance exactly the sizes that were saved', async () => {
    const first = await openChurn();
    for (let i = 0; i < 3; i++) first.exports.grow();
    await first.guest.pause();
    const records = first.guest.saveDevices();
    const second = await openChurn();
    await second.guest.pause();
    second.guest.loadDevices(records);
    await second.guest.resume();
    expect(second.exports.sizes()).toBe(4004);
  });

  it('counts a memory that had grown further as the restored one until the program runs', async () => {
    const { guest, exports } = await openChurn();
    await guest.pause();
    const records = guest.saveDevices();
    await guest.resume();
    exports.grow();
    await guest.pause();
    guest.loadDevices(records);
    expect(guest.saveDevices()).toEqual(records);
    await guest.resume();
    expect(exports.sizes()).toBe(2002);
    await guest.pause();
    expect(guest.saveDevices()).not.toEqual(records);
  });

  it('refuses calls while paused, and lets them in afterwards', async () => {
    const { guest, exports } = await openChurn();
    await guest.pause();
    expect(() => exports.run(1)).toThrow(expect.objectContaining({ code: 'wrong-state' }));
    let entered = false;
    const later = guest.enter(() => {
      entered = true;
      return exports.run(1);
    });
    await Promise.resolve();
    expect(entered).toBe(false);
    await guest.resume();
    await later;
    expect(entered).toBe(true);
  });

  it('rests only when the call that is inside has ended', async () => {
    let pausing: Promise<void> | undefined;
    let during = '';
    const { guest, exports } = await openChurn({
      onHost: () => {
        pausing = guest.pause();
        try {
          guest.saveDevices();
        } catch (error) {
          during = (error as { code: string }).code;
        }
        expect(guest.callDepth).toBe(1);
      },
    });
    exports.run(3);
    expect(during).toBe('wrong-state');
    await pausing;
    expect(guest.saveDevices()).toHaveLength(2);
  });

  it('gives up when a call does not end, and runs on', async () => {
    const { guest, exports } = await openChurn({ pauseWaitMs: 1 });
    let release: () => void = () => {};
    const held = guest.enter(() => new Promise<void>((resolve) => (release = resolve)));
    await Promise.resolve();
    const first = guest.pause();
    const second = guest.pause();
    await expect(first).rejects.toMatchObject({ code: 'guest-not-quiescent' });
    await expect(second).rejects.toMatchObject({ code: 'guest-not-quiescent' });
    exports.run(1);
    release();
    await held;
    await guest.pause();
    await guest.resume();
    exports.run(1);
  });

  it('asks the program whether it is at rest', async () => {
    let quiescent = false;
    const { guest, exports } = await openChurn({ isQuiescent: () => quiescent });
    await expect(guest.pause()).rejects.toMatchObject({ code: 'guest-not-quiescent' });
    exports.run(1);
    quiescent = true;
    await guest.pause();
  });

  it('ends a pause that waits when it is closed', async () => {
    const { guest } = await openChurn();
    void guest.enter(() => new Promise(() => {}));
    await Promise.resolve();
    const pausing = guest.pause();
    await guest.close();
    await expect(pausing).rejects.toMatchObject({ code: 'guest-closed' });
    await expect(guest.enter(() => 1)).rejects.toMatchObject({ code: 'guest-closed' });
  });

  it('keeps what the host says is its state, and nothing when the host refuses', async () => {
    let stdin = 'abc';
    const hostState = {
      version: 3,
      save: () => new TextEncoder().encode(stdin),
      load: (bytes: Uint8Array<ArrayBuffer>) => {
        const text = new TextDecoder().decode(bytes);
        if (text === 'bad') throw Object.assign(new Error('bad'), { code: 'guest-state-invalid' });
        stdin = text;
      },
    };
    const { guest, exports } = await openChurn({ hostState });
    await guest.pause();
    const start = guest.saveDevices();
    expect(start.map(({ name, version }) => `${name}@${version}`)).toEqual([
      'globals@1',
      'tables@1',
      'host@3',
    ]);
    await guest.resume();
    stdin = 'def';
    exports.run(7);
    await guest.pause();
    const before = guest.saveDevices();
    const bad = start.with(2, { ...start[2]!, bytes: new TextEncoder().encode('bad') });
    expect(() => guest.loadDevices(bad)).toThrow(expect.objectContaining({ code: 'guest-state-invalid' }));
    expect(guest.saveDevices()).toEqual(before);
    guest.loadDevices(start);
    expect(stdin).toBe('abc');
  });

  it('refuses to save a table that holds a function from elsewhere', async () => {
    const { guest, exports } = await openChurn();
    const other = await openChurn();
    const table = (exports as unknown as { grown: WebAssembly.Table }).grown;
    table.set(0, other.caught.instance.exports.late);
    await guest.pause();
    expect(() => guest.saveDevices()).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });

  it('keeps plain host values in tables, and refuses objects', async () => {
    const module = wat('(module (table (export "values") 8 externref))');
    const open = async () => {
      const { exports, caught } = await instantiateCaught(module);
      const guest = new WasmInstanceGuest(caught, { program: 'values' });
      await guest.pause();
      return { guest, values: exports.values as WebAssembly.Table };
    };
    const first = await open();
    for (const [slot, value] of [undefined, null, true, false, 1.5, -0].entries())
      first.values.set(slot, value);
    const second = await open();
    second.guest.loadDevices(first.guest.saveDevices());
    const found = Array.from({ length: 6 }, (_, slot) => second.values.get(slot));
    expect(found).toEqual([undefined, null, true, false, 1.5, -0]);
    second.values.set(7, {});
    expect(() => second.guest.saveDevices()).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });

  it('describes the program by the digest of its module before it was rewritten', async () => {
    const { guest } = await openChurn({ config: { heapBytes: 5 } });
    expect(guest.machine.kind).toBe('wasm-instance');
    expect(guest.machine.config).toMatchObject({ program: 'churn', heapBytes: 5, memoryBytes: 393_216 });
    const { guest: other } = await openChurn();
    expect(other.machine.config.moduleDigest).toBe(guest.machine.config.moduleDigest);
    expect(guest.machine.config.moduleDigest).toMatch(/^[0-9a-f]{64}$/);
  });
});
