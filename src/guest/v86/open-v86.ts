// Builds a PC with v86 and makes a guest of it. The configuration is plain values, so that it can be sent to a worker.

import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import { withVirtualTime } from './deterministic-clock.ts';
import { OrderlyCode } from './orderly-code.ts';
import { isSteppedModule } from './step-meter.ts';
import { compileV86, trackedWasmFn, type V86Program } from './tracked-wasm.ts';
import { adoptV86, type V86Guest } from './v86-guest.ts';
import type { V86Core, V86Emulator } from './v86-internals.ts';

/** Bytes that are here, or where to fetch them. */
export type ImageSource = { readonly bytes: Uint8Array | ArrayBuffer } | { readonly url: string };

/** A disk: an image, or a URL of which only the blocks that the guest reads are fetched. */
export type DiskSource = ImageSource | { readonly url: string; readonly sizeBytes: number };

export interface V86Config {
  /** v86's program: its URL, its bytes, or what `compileV86` made of them (one compilation for many guests). */
  readonly wasm: (Pick<V86Program, 'module'> & Partial<V86Program>) | ImageSource;
  readonly memoryBytes: number;
  /** 1 MiB when left out: enough for VGA; a linear frame buffer wants more. */
  readonly vgaMemoryBytes?: number;
  readonly bios: ImageSource;
  readonly vgaBios?: ImageSource;
  /** A Linux kernel that the BIOS starts without a disk. */
  readonly kernel?: {
    readonly image: ImageSource;
    readonly initrd?: ImageSource;
    readonly commandLine: string;
  };
  readonly disks?: { readonly [drive in 'hda' | 'hdb' | 'fda' | 'fdb' | 'cdrom']?: DiskSource };
  /** False when left out. */
  readonly acpi?: boolean;
  /** A memory balloon, by which a kernel with its driver says which pages are free. False when left out. */
  readonly balloon?: boolean;
  /** None when left out. */
  readonly network?: 'none' | 'ne2k' | 'virtio';
  /** Extra serial ports, 1 to 3; none when left out. */
  readonly serialPorts?: readonly (1 | 2 | 3)[];
  /** Compiles hot code. True when left out, but for a `deterministic` machine: see there. */
  readonly compile?: boolean;
  /**
   * A machine in a time of its own, that does the same again from the same state and input: see its `replay`. It has
   * neither network nor a disk that is fetched by blocks, and is interpreted unless `compile` says otherwise: compiled, it
   * is several times faster. False when left out.
   */
  readonly deterministic?: boolean;
  /** `auto` follows which pages are written where that is possible: see the guest's traits. `auto` when left out. */
  readonly tracking?: 'auto' | 'none';
  /**
   * `shared` lets other workers read the machine's memory while it runs, `auto` does so where the platform allows it:
   * see the guest's traits. `private` when left out. A program that is compiled already has it decided.
   */
  readonly memory?: 'auto' | 'shared' | 'private';
}

export interface OpenV86Options {
  /** Makes an instance of v86's program; here a tracker can put a changed program in. */
  readonly instantiate?: (
    program: WebAssembly.Module,
    imports: WebAssembly.Imports,
  ) => Promise<WebAssembly.Instance>;
}

/** v86 puts an initial RAM disk at 64 MiB, whatever the memory is. */
const INITRD_ADDRESS = 64 * MIB;

/** Enough for VGA. */
const VGA_MEMORY_BYTES = MIB;

const NO_NETWORK = { type: 'none' };

/**
 * Builds the machine; it is ready and not started.
 *
 * Throws `argument-invalid` for a machine that v86 cannot build, `not-found` when an image cannot be fetched,
 * `unsupported` when v86 is another build, `guest-failed` when it fails to start; nothing is left behind.
 */
export async function openV86(config: V86Config, options: OpenV86Options = {}): Promise<V86Guest> {
  const tracking = config.tracking ?? 'auto';
  checkDeterministic(config);
  const [{ V86 }, program, v86Options] = await Promise.all([
    import('v86'),
    compile(config),
    toV86Options(config),
  ]);
  const isDeterministic = config.deterministic === true;
  const code = isDeterministic && config.compile === true ? new OrderlyCode() : undefined;
  const tracked = trackedWasmFn(program, options.instantiate, code);
  const instantiate = isDeterministic ? withVirtualTime(tracked, code) : tracked;
  const emulator = await new Promise<V86Emulator>((resolve, reject) => {
    const fail = (cause: unknown) => reject(new VitrineError('guest-failed', {}, { cause }));
    const wasm_fn = async (imports: WebAssembly.Imports) => {
      try {
        const exports = await instantiate(imports);
        // v86 sets the machine up in a timer of its own, after this one, and an error there would be nobody's.
        setTimeout(() => watchSetup(made.v86, fail), 0);
        return exports;
      } catch (cause) {
        fail(cause);
        return new Promise<never>(() => undefined);
      }
    };
    const made = new V86({ ...v86Options, wasm_fn }) as unknown as V86Emulator;
    made.add_listener('emulator-ready', () => resolve(made));
  });
  try {
    return adoptV86(emulator, { screen: 'replace', tracking });
  } catch (error) {
    await emulator.destroy();
    throw error;
  }
}

/** What a machine cannot have that is to do the same again. */
function checkDeterministic(config: V86Config): void {
  if (config.deterministic !== true) return;
  const refuse = (name: string, reason: string) => {
    throw new VitrineError('argument-invalid', { name, reason: `deterministic: ${reason}` });
  };
  if ((config.network ?? 'none') !== 'none') refuse('network', 'its peers are not');
  for (const [name, disk] of Object.entries(config.disks ?? {})) {
    if ('sizeBytes' in disk) refuse(`disks.${name}`, 'blocks are fetched in the time of the host');
  }
}

function watchSetup(core: V86Core, fail: (cause: unknown) => void): void {
  const setUp = core as unknown as { init(settings: unknown): void };
  const original = setUp.init;
  setUp.init = (settings) => {
    try {
      original.call(core, settings);
    } catch (cause) {
      fail(cause);
    }
  };
}

async function compile(config: V86Config): Promise<V86Program> {
  const {
    wasm,
    memoryBytes,
    vgaMemoryBytes = VGA_MEMORY_BYTES,
    tracking = 'auto',
    memory = 'private',
  } = config;
  const isInterpreted = config.deterministic === true && config.compile !== true;
  if (!('module' in wasm)) {
    const bytes = new Uint8Array(await load(wasm));
    const steps = isInterpreted ? 'single' : 'slices';
    return compileV86(bytes, { tracking, memory, steps, machine: { memoryBytes, vgaMemoryBytes } });
  }
  if (isSteppedModule(wasm.module) !== isInterpreted) {
    const reason = isInterpreted
      ? "compiled without steps: 'single', which a deterministic machine needs that is interpreted"
      : "compiled with steps: 'single', for deterministic machines that are interpreted";
    throw new VitrineError('argument-invalid', { name: 'wasm', reason });
  }
  if (memory === 'shared' && wasm.isShared !== true) {
    const reason = wasm.unshared ?? 'the program was compiled without it';
    throw new VitrineError('unsupported', { missing: 'shared memory', reason });
  }
  return { untracked: undefined, ...wasm };
}

async function toV86Options(config: V86Config): Promise<Record<string, unknown>> {
  const { kernel, disks = {} } = config;
  const image = async (source: ImageSource | undefined) =>
    source === undefined ? undefined : { buffer: await load(source) };
  const [bios, vgaBios, kernelImage, initrd] = await Promise.all([
    image(config.bios),
    image(config.vgaBios),
    image(kernel?.image),
    image(kernel?.initrd),
  ]);
  if (initrd !== undefined) {
    const neededBytes = INITRD_ADDRESS + initrd.buffer.byteLength;
    // v86 rounds the memory up to the address and then fails with a RangeError.
    if (config.memoryBytes < neededBytes) {
      throw new VitrineError('argument-invalid', {
        name: 'memoryBytes',
        value: config.memoryBytes,
        least: neededBytes,
        reason: 'v86 puts the initial RAM disk at 64 MiB',
      });
    }
  }
  const drives = await Promise.all(
    Object.entries(disks).map(async ([name, source]) => [name, await toDisk(source)] as const),
  );
  const network = config.network ?? 'none';
  return {
    memory_size: config.memoryBytes,
    vga_memory_size: config.vgaMemoryBytes ?? VGA_MEMORY_BYTES,
    bios,
    vga_bios: vgaBios,
    bzimage: kernelImage,
    initrd,
    cmdline: kernel?.commandLine,
    ...Object.fromEntries(drives),
    acpi: config.acpi ?? false,
    virtio_balloon: config.balloon ?? false,
    net_device: network === 'none' ? NO_NETWORK : { type: network },
    uart1: config.serialPorts?.includes(1) ?? false,
    uart2: config.serialPorts?.includes(2) ?? false,
    uart3: config.serialPorts?.includes(3) ?? false,
    disable_jit: !(config.compile ?? config.deterministic !== true),
    autostart: false,
    // These want a page; input arrives by `sendKeys`.
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
  };
}

async function toDisk(source: DiskSource): Promise<Record<string, unknown>> {
  if ('sizeBytes' in source) return { url: source.url, async: true, size: source.sizeBytes };
  return { buffer: await load(source) };
}

/** The bytes in an ArrayBuffer of their own: v86 keeps and changes it. */
async function load(source: ImageSource): Promise<ArrayBuffer> {
  if ('bytes' in source) return Uint8Array.from(new Uint8Array(source.bytes)).buffer;
  const response = await fetch(source.url).catch((cause: unknown) => {
    throw new VitrineError('not-found', { url: source.url }, { cause });
  });
  if (!response.ok) throw new VitrineError('not-found', { url: source.url, status: response.status });
  return response.arrayBuffer();
}
