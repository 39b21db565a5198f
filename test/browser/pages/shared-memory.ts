// Runs in the page: guests in shared memory, read and tracked by the engine's worker while they work in their own.

import wasmUrl from 'v86/build/v86.wasm?url';
import { equalBytes } from '../../../src/base/bytes.ts';
import { adoptV86, compileV86, type ScreenFrame, trackedWasmFn } from '../../../src/guest/v86/index.ts';
import { acceptSharedViews } from '../../../src/guest/wasm/index.ts';
import { copyShared } from '../../../src/memory/shared-memory.ts';
import { openVitrineWorker } from '../../../src/open-vitrine-worker.ts';
import { type GuestClient, startGuest } from '../../../src/rpc/guest-client.ts';
import { GRAPHICS_ROM, PIXEL } from './graphics-rom.ts';

const MEMORY = { kind: 'memory' } as const;
const MIB = 2 ** 20;

type Options = Readonly<Record<string, string | number | boolean>>;

const open = (name: string, options: Options) =>
  startGuest(new Worker(new URL('./shared-guest.ts', import.meta.url), { type: 'module' }), {
    name,
    options,
  });

const digestOf = async (bytes: Uint8Array<ArrayBuffer>) =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)).join();

const openPython = (memory: 'auto' | 'shared') =>
  startGuest(new Worker(new URL('./shared-python.ts', import.meta.url), { type: 'module' }), {
    name: 'python',
    options: { memory },
  });

/** Types, and gives what the guest answers. Of the one at work: the digest of what it held when its devices were saved last. */
async function type(
  guest: GuestClient,
  heard: { next: (text: string) => void },
  text: string,
): Promise<string> {
  const said = new Promise<string>((resolve) => {
    heard.next = resolve;
  });
  await guest.write(text);
  return said;
}

const sharedPage = {
  /** Saves of a guest at work: which equal what it held at rest, and whether it wrote in between. */
  async saves(
    track: 'engine' | 'guest',
    live: boolean,
  ): Promise<{ exact: boolean[]; modes: string[]; moved: boolean }> {
    const engine = await openVitrineWorker({ store: MEMORY });
    const sizeBytes = 16 * MIB;
    const guest = await open('flat', { sizeBytes });
    const heard = { next: (_: string): void => {} };
    await guest.onOutput((text) => heard.next(text));
    const machine = await guest.join(engine, 'flat', { track });
    const exact: boolean[] = [];
    const modes: string[] = [];
    const digests = new Set<string>();
    for (let round = 0; round < 4; round++) {
      const report = await machine.save(live ? { live: { bufferBytes: MIB } } : {});
      modes.push(report.live?.mode ?? 'none');
      const witness = await type(guest, heard, '?');
      const [saved] = await engine.peek(report.snapshot.id, [{ address: 0, lengthBytes: sizeBytes }]);
      const digest = await digestOf(saved!);
      digests.add(digest);
      exact.push(digest === witness);
    }
    await guest.close();
    await engine.close();
    return { exact, modes, moved: digests.size > 1 };
  },

  /** MicroPython at work: saved while it is, read by the engine's worker without a rest, and gone on with after a restore. */
  async python(memory: 'auto' | 'shared', track: 'engine' | 'guest') {
    const engine = await openVitrineWorker({ store: MEMORY });
    const guest = await openPython(memory);
    const heard = { next: (_: string): void => {} };
    await guest.onOutput((text) => heard.next(text));
    const machine = await guest.join(engine, 'python', { track });
    const lengthBytes = guest.description.regions[0]!.sizeBytes;
    const exact: boolean[] = [];
    const modes: string[] = [];
    const digests = new Set<string>();
    for (const live of [false, true, true, true]) {
      const report = await machine.save(live ? { live: { bufferBytes: MIB } } : {});
      modes.push(report.live?.mode ?? 'none');
      const witness = await type(guest, heard, '?');
      const [saved] = await engine.peek(report.snapshot.id, [{ address: 0, lengthBytes }]);
      const digest = await digestOf(saved!);
      digests.add(digest);
      exact.push(digest === witness);
    }
    const { consistency, bytes } = await machine.peek([{ address: 0, lengthBytes }], { consistency: 'torn' });
    await type(guest, heard, 'mark = 1');
    const first = (await machine.save({ live: { bufferBytes: MIB } })).snapshot.id;
    await type(guest, heard, 'mark = 2');
    await machine.restore(first);
    const said = await type(guest, heard, 'print("mark", mark, said)');
    const { sharedMemory } = guest.description.traits;
    await guest.close();
    await engine.close();
    const isThere = bytes[0]!.some((byte) => byte !== 0);
    return {
      exact,
      modes,
      moved: digests.size > 1,
      sharedMemory,
      torn: isThere ? consistency : 'zeros',
      said,
    };
  },

  /** What a browser does with views on shared memory, before and after it is asked to accept them. */
  acceptsViews(): boolean[] {
    const accepts = (work: () => unknown): boolean => {
      try {
        work();
        return true;
      } catch {
        return false;
      }
    };
    const bytes = new Uint8Array(new SharedArrayBuffer(64));
    bytes.set(new TextEncoder().encode('vitrine'));
    const all = () => [
      accepts(() => {
        if (new TextDecoder().decode(bytes.subarray(0, 7)) !== 'vitrine') throw new Error('other text');
      }),
      accepts(() => {
        crypto.getRandomValues(bytes.subarray(8) as never);
        if (bytes.subarray(8).every((byte) => byte === 0)) throw new Error('not random');
      }),
    ];
    const before = all();
    const giveBack = acceptSharedViews();
    const between = all();
    giveBack();
    return [...before, ...between, ...all()];
  },

  /** What a guest says by itself: its free pages, and its wish to be saved and put back. */
  async asks(track: 'engine' | 'guest') {
    const engine = await openVitrineWorker({ store: MEMORY });
    const sizeBytes = 4 * MIB;
    const guest = await open('asking', { sizeBytes });
    const heard = { next: (_: string): void => {} };
    await guest.onOutput((text) => heard.next(text));
    const machine = await guest.join(engine, 'asking', { track });
    await machine.save();
    const { snapshot, pagesSkippedFree } = await machine.save({ full: true });
    const free = { address: sizeBytes / 2, lengthBytes: sizeBytes / 2 };
    const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);
    const isZeroSaved = isZero((await engine.peek(snapshot.id, [free]))[0]!);
    const isZeroLive = isZero((await machine.peek([free])).bytes[0]!);
    const served = await machine.serveDoorbell();
    const said: string[] = [];
    for (const text of '.s.r.r') said.push(await type(guest, heard, text));
    const { rings, saves, resets } = await served.report();
    await served.stop();
    said.push(await type(guest, heard, 's'));
    await guest.close();
    await engine.close();
    return { pagesSkippedFree, isZeroSaved, isZeroLive, said, counts: { rings, saves, resets } };
  },

  /** Pulse by its traits; saved, restored and looked at, by the engine's worker and by this thread. */
  async pulse(memory: 'auto' | 'private', track: 'engine' | 'guest') {
    const engine = await openVitrineWorker({ store: MEMORY });
    const guest = await open('pulse', { memory });
    const machine = await guest.join(engine, 'pulse', { track });
    const ticks = { address: 0x1008, lengthBytes: 4 };
    const read = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    const look = async (consistency: 'instant' | 'torn') => {
      const peeked = await machine.peek([ticks], { consistency });
      return { ticks: read(peeked.bytes[0]!), consistency: peeked.consistency };
    };
    while ((await look('instant')).ticks < 5);
    const { snapshot } = await machine.save();
    const [saved] = await engine.peek(snapshot.id, [ticks]);
    const torn = await look('torn');
    while ((await look('torn')).ticks < read(saved!) + 20);
    await guest.setRunning(false);
    await machine.restore(snapshot.id);
    const whole = { address: 0, lengthBytes: 16 * MIB };
    const [before] = await engine.peek(snapshot.id, [whole]);
    const after = (await machine.peek([whole], { consistency: 'torn' })).bytes[0]!;
    const here =
      guest.shared && copyShared(guest.shared, { region: 0, offsetBytes: 0, lengthBytes: 16 * MIB });
    await guest.setRunning(true);
    while ((await look('instant')).ticks < read(saved!) + 20);
    const { traits } = guest.description;
    await guest.close();
    await engine.close();
    return {
      sharedMemory: traits.sharedMemory,
      reason: traits.sharedMemoryReason ?? null,
      tracking: traits.tracking,
      torn: torn.consistency,
      restored: equalBytes(before!, after),
      readHere: here === undefined ? null : equalBytes(before!, here),
    };
  },

  /** A pixel that a machine drew in a graphics mode, on the screen of its worker. */
  async graphics(memory: 'auto' | 'private'): Promise<number[]> {
    const guest = await open('graphics', { memory });
    const pixel = await new Promise<number[]>((resolve) => {
      void guest.onFrame((value) => {
        const frame = value as ScreenFrame;
        if (frame.kind !== 'graphics' || frame.width !== 320) return;
        const rgba = [...frame.rgba.subarray(PIXEL.at, PIXEL.at + 4)];
        if (rgba[0] !== 0) resolve(rgba);
      });
    });
    await guest.close();
    return pixel;
  },

  /** The same on an embedder's own screen, a canvas of this page. */
  async canvas(): Promise<{ shared: boolean; rgba: number[] }> {
    const { V86 } = await import('v86');
    const bytes = new Uint8Array(await (await fetch(wasmUrl)).arrayBuffer());
    const program = await compileV86(bytes, { memory: 'auto' });
    const container = document.createElement('div');
    container.append(document.createElement('div'), document.createElement('canvas'));
    document.body.append(container);
    const emulator = new V86({
      wasm_fn: trackedWasmFn(program),
      bios: { buffer: GRAPHICS_ROM.slice().buffer },
      memory_size: MIB,
      vga_memory_size: MIB,
      net_device: { type: 'none' } as never,
      screen_container: container,
      disable_keyboard: true,
      disable_mouse: true,
      disable_speaker: true,
      autostart: false,
    } as never);
    await new Promise<void>((resolve) => emulator.add_listener('emulator-ready', () => resolve()));
    const guest = adoptV86(emulator);
    const shared = guest.traits.sharedMemory;
    await guest.start();
    const canvas = container.querySelector('canvas')!;
    const rgba = await new Promise<number[]>((resolve) => {
      const look = (): void => {
        const column = (PIXEL.at / 4) % 320;
        const row = Math.floor(PIXEL.at / 4 / 320);
        const data =
          canvas.width === 320 ? canvas.getContext('2d')!.getImageData(column, row, 1, 1).data : [0];
        if (data[0] !== 0) resolve([...data]);
        else requestAnimationFrame(look);
      };
      look();
    });
    await guest.close();
    container.remove();
    return { shared, rgba };
  },
};

export type SharedPage = typeof sharedPage;
Object.assign(window, { sharedPage });
