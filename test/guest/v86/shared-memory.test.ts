// A v86 machine whose memory other threads can read: that it runs as the others do, compiled code included, and what its
// JavaScript would have given to functions that refuse shared memory.

import { Worker } from 'node:worker_threads';
import { compress, init } from '@bokuweb/zstd-wasm';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { PULSE, PULSE_FACTS } from '../../../src/guest/pulse/pulse.ts';
import { compileV86, trackedWasmFn, type V86Guest } from '../../../src/guest/v86/index.ts';
import { copyShared, isShared, sharedBytes } from '../../../src/memory/shared-memory.ts';
import { adopted } from './adopted.ts';
import {
  difference,
  openPulse,
  restore,
  runPulse,
  save,
  sharedProgram,
  until,
  untilUp,
  v86Bytes,
  wordAt,
} from './machines.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const guests: V86Guest[] = [];
const keep = <T extends V86Guest>(guest: T) => {
  guests.push(guest);
  return guest;
};
afterEach(async () => {
  vi.unstubAllGlobals();
  for (const guest of guests.splice(0)) await guest.close();
});

const openShared = async () => keep(await openPulse({ wasm: await sharedProgram() }));

/** An embedder's emulator with shared memory and a screen of its own. */
async function adoptShared() {
  const program = await compileV86(v86Bytes(), { memory: 'shared' });
  // v86 restores its own states only in a machine with a disk.
  const made = await adopted({ wasm_fn: trackedWasmFn(program), hda: { buffer: new ArrayBuffer(65_536) } });
  keep(made.guest);
  return made;
}

describe('a v86 guest in shared memory', () => {
  it('says so, and where its regions lie', async () => {
    const guest = await openShared();
    expect(guest.traits.sharedMemory).toBe(true);
    expect(guest.traits.sharedMemoryReason).toBe(undefined);
    expect(guest.shared!.regions.map(({ region, sizeBytes }) => [region, sizeBytes])).toEqual(
      guest.regions.map(({ id, sizeBytes }) => [id, sizeBytes]),
    );
    for (const { buffer } of guest.shared!.regions) expect(isShared(buffer)).toBe(true);
    await runPulse(guest);
    const { memory } = await save(guest);
    for (const [region, bytes] of memory.entries()) {
      expect(
        Buffer.compare(
          bytes,
          copyShared(guest.shared!, { region, offsetBytes: 0, lengthBytes: bytes.length }),
        ),
      ).toBe(0);
    }
  });

  it('runs compiled code, marks what that writes, and is restored, into private memory too', async () => {
    const compiled = vi.spyOn(WebAssembly, 'instantiate');
    const guest = await openShared();
    const before = compiled.mock.calls.length;
    await runPulse(guest, 64);
    await until(() => compiled.mock.calls.length > before, 'compiled code');
    await Promise.all(compiled.mock.results.map(({ value }) => value));
    compiled.mockRestore();
    expect(guest.traits.tracking).toBe('barrier');
    const saved = await save(guest);
    await runPulse(guest, 64);
    const later = await wordAt(guest, PULSE.loops);
    for (const target of [guest, await openShared(), keep(await openPulse())]) {
      await restore(target, saved);
      expect(difference(saved, await save(target))).toBe('none');
      expect(await runPulse(target, 64)).toBeGreaterThan(0);
      // 2 is what Pulse says of memory that is not as it wrote it.
      expect(await wordAt(target, PULSE.health)).not.toBe(2);
    }
    expect(await wordAt(guest, PULSE.loops)).toBeGreaterThanOrEqual(Math.min(later, 64));
  });

  it('keeps its handle right when its memory grows', async () => {
    const { guest, emulator } = await adoptShared();
    const handle = guest.shared!;
    const bytes = emulator.v86.cpu.wasm_memory.buffer.byteLength;
    // Pictures of 16 MiB: more than the memory begins with.
    for (let i = 0; i < 3; i++) emulator.v86.cpu.svga_allocate_dest_buffer(4 << 20);
    expect(emulator.v86.cpu.wasm_memory.buffer.byteLength).toBeGreaterThan(bytes);
    await guest.start();
    await untilUp(guest);
    const magic = sharedBytes(handle, 0)!.slice(PULSE.magic, PULSE.magic + 4);
    expect(new DataView(magic.buffer).getUint32(0, true)).toBe(PULSE_FACTS.magic);
  });

  it('is read by another thread while it runs', async () => {
    const guest = await openShared();
    await guest.start();
    await untilUp(guest);
    // Counts until the guest's own counter has moved 3 times, which it does for nobody but its own thread.
    const reader = new Worker(READER, { eval: true, workerData: { shared: guest.shared, at: PULSE.ticks } });
    const seen = await new Promise<number[]>((resolve, reject) => {
      reader.on('message', resolve);
      reader.on('error', reject);
    });
    await reader.terminate();
    expect(seen.length).toBe(4);
    expect(seen.every((ticks, i) => i === 0 || ticks > seen[i - 1]!)).toBe(true);
  });
});

const READER = `
  const { parentPort, workerData: { shared, at } } = require('node:worker_threads');
  const { buffer, offsetBytes } = shared.regions[0];
  const words = new Int32Array(buffer, offsetBytes + at, 1);
  const seen = [Atomics.load(words, 0)];
  while (seen.length < 4) {
    const ticks = Atomics.load(words, 0);
    if (ticks !== seen.at(-1)) seen.push(ticks);
  }
  parentPort.postMessage(seen);
`;

describe('what v86 gives to functions that refuse shared memory', () => {
  it('is a picture of its own on an embedder’s screen, with what the machine drew', async () => {
    vi.stubGlobal('ImageData', RefusingImageData);
    const { guest, emulator } = await adoptShared();
    const { vga } = emulator.v86.cpu.devices;
    const io = emulator.v86.cpu.io as unknown as { port_write16(port: number, value: number): void };
    // The machine's own way into 320 x 200 of 32 bits: the Bochs VBE ports.
    for (const [index, value] of [
      [4, 0],
      [1, 320],
      [2, 200],
      [3, 32],
      [4, 0x41],
    ] as const) {
      io.port_write16(0x1ce, index);
      io.port_write16(0x1cf, value);
    }
    const vram = guest.regions.find(({ name }) => name === 'vga.vram')!;
    await guest.pause();
    guest.writePages({ region: vram.id, offsetBytes: 0, lengthBytes: 4 }, Uint8Array.of(0x33, 0x22, 0x11, 0));
    await guest.resume();
    vga.screen_fill_buffer();
    expect(vga.image_data!.data.length).toBe(4 * 320 * 200);
    expect([...vga.image_data!.data.subarray(0, 8)]).toEqual([0x11, 0x22, 0x33, 255, 0, 0, 0, 255]);
  });

  it('is a state that was compressed, decompressed first', async () => {
    await init();
    const { guest, emulator } = await adoptShared();
    const stock = emulator as unknown as { save_state(): Promise<ArrayBuffer> };
    await runPulse(guest);
    const state = await stock.save_state();
    const packed = compress(new Uint8Array(state), 1).slice().buffer as ArrayBuffer;
    const loops = await wordAt(guest, PULSE.loops);
    await runPulse(guest, 64);
    await emulator.restore_state(packed);
    expect(await wordAt(guest, PULSE.loops)).toBe(loops);
    await emulator.restore_state(state);
    expect(await wordAt(guest, PULSE.loops)).toBe(loops);
    const plain = Uint8Array.from({ length: 5000 }, (_, i) => i % 7);
    const unpacked = emulator.zstd_decompress(plain.length, compress(plain, 1));
    expect(isShared(unpacked)).toBe(false);
    expect([...new Uint8Array(unpacked)]).toEqual([...plain]);
  });
});

/** As browsers do. */
class RefusingImageData {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
  constructor(first: Uint8ClampedArray | number, width: number, height?: number) {
    if (typeof first !== 'number' && isShared(first.buffer)) throw new TypeError('must not be shared');
    this.data = typeof first === 'number' ? new Uint8ClampedArray(4 * first * width) : first;
    this.width = typeof first === 'number' ? first : width;
    this.height = typeof first === 'number' ? width : height!;
  }
}
