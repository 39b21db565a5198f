// The inside of v86 as this adapter uses it: names and shapes of an untyped emulator, checked once when a guest is
// adopted, so that another build is refused by name instead of failing somewhere in a restore.
//
// Property names survive in `libv86.mjs` because it is compiled without renaming; `v86_all.js` is not usable.

import { VitrineError } from '../../base/error.ts';
import type { V86Balloon } from './free-pages.ts';

/** The build whose internals these are: the exact npm version. */
export const V86_VERSION = '0.5.462+g5f9a90f';

/** Addresses in v86's wasm memory: its CPU state lies at fixed places below 1,280. */
export const CPU_BLOCK = {
  start: 64,
  end: 1280,
  lastResult: 112,
  flags: 120,
  acpiEnabled: 552,
  halted: 616,
  lastVirtualIp: 620,
  physicalIp: 624,
  instructionCounter: 664,
  svgaDirty: 716,
  svgaDirtyEnd: 724,
  memorySize: 812,
  mxcsr: 824,
  currentTsc: 960,
  fpuStatusWord: 1040,
} as const;

/** A typed array of v86: a Proxy that builds a new view at each access, so never one to copy from or loop over. */
export interface V86View {
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  readonly length: number;
  readonly BYTES_PER_ELEMENT: number;
  subarray(start: number): ArrayBufferView;
  [index: number]: number;
}

/** v86's state as its own functions give and take it: nested arrays, scalars, typed arrays, maps. */
export type V86State = unknown[];

/** Whatever has state of its own. */
export interface V86Stateful {
  get_state(): V86State;
  set_state(state: V86State): void;
}

export interface V86ByteQueue {
  readonly length: number;
  push(byte: number): void;
  shift(): number;
  clear(): void;
}

export interface V86Uart extends V86Stateful {
  input: number[];
}

export interface V86Ps2 extends V86Stateful {
  readonly kbd_buffer: V86ByteQueue;
  readonly mouse_buffer: V86ByteQueue;
  next_byte_is_ready: boolean;
  next_byte_is_aux: boolean;
  wheel_movement: number;
}

export interface V86Sb16 extends V86Stateful {
  readonly write_buffer: V86ByteQueue;
  readonly read_buffer: V86ByteQueue;
}

export interface V86Pit extends V86Stateful {
  counter_start_time: Float64Array;
}

export interface V86Rtc extends V86Stateful {
  last_update: number;
  next_interrupt: number;
  next_interrupt_alarm: number;
  update_interrupt_time: number;
}

export interface V86Acpi extends V86Stateful {
  timer_last_value: number;
  timer_imprecision_offset: number;
  last_timer: number;
  get_timer(nowMs: number): number;
}

export interface V86PciBar {
  readonly size: number;
  readonly original_bar: number;
  readonly entries: readonly unknown[];
}

export interface V86Pci extends V86Stateful {
  readonly devices: ({ readonly pci_bars: (V86PciBar | undefined)[] } | undefined)[];
  readonly device_spaces: (Int32Array | undefined)[];
  readonly io: { readonly ports: unknown[]; create_empty_entry(): unknown };
}

/** A disk image: whole in memory (`buffer`), or fetched by blocks of 256 bytes (`block_cache`). */
export interface V86Disk extends V86Stateful {
  readonly byteLength: number;
  readonly buffer?: ArrayBuffer;
  readonly block_cache?: Map<number, Uint8Array>;
  readonly block_cache_is_write?: Set<number>;
  readonly filename?: string;
  readonly file?: { readonly name?: string };
}

export interface V86IdeInterface extends V86Stateful {
  readonly buffer: V86Disk | null;
  readonly is_atapi: boolean | undefined;
  readonly in_progress_io_ids: Map<number, unknown>;
}

export interface V86Ide extends V86Stateful {
  readonly primary?: { readonly master: V86IdeInterface; readonly slave: V86IdeInterface };
  readonly secondary?: { readonly master: V86IdeInterface; readonly slave: V86IdeInterface };
}

export interface V86Floppy extends V86Stateful {
  readonly drives: readonly { readonly buffer: V86Disk | null }[];
}

/** A part of a picture and where on the screen it goes. */
export interface V86Layer {
  readonly image_data: V86ImageData;
  readonly screen_x: number;
  readonly screen_y: number;
  readonly buffer_x: number;
  readonly buffer_y: number;
  readonly buffer_width: number;
  readonly buffer_height: number;
}

/** What v86 calls to show something; `headless-screen.ts` is one. */
export interface V86ScreenAdapter {
  set_mode(graphical: boolean): void;
  set_size_graphical(width: number, height: number, virtualWidth: number, virtualHeight: number): void;
  update_buffer(layers: readonly V86Layer[]): void;
  pause(): void;
  continue(): void;
  destroy(): void;
}

export interface V86ImageData {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

export interface V86Vga extends V86Stateful {
  screen: V86ScreenAdapter;
  readonly svga_memory: V86View;
  readonly vga_memory_size: number;
  graphical_mode: boolean;
  svga_enabled: boolean;
  max_cols: number;
  max_rows: number;
  screen_width: number;
  screen_height: number;
  virtual_width: number;
  virtual_height: number;
  svga_width: number;
  svga_height: number;
  svga_bpp: number;
  dest_buffet_offset: number;
  image_data: V86ImageData | null;
  port_3DA_value: number;
  start_address_latched: number;
  diff_addr_min: number;
  diff_addr_max: number;
  diff_plot_min: number;
  diff_plot_max: number;
  readonly bus: { send(event: string, value: unknown): void };
  set_size_text(columns: number, rows: number): void;
  set_size_graphical(
    width: number,
    height: number,
    virtualWidth: number,
    virtualHeight: number,
    bitsPerPixel: number,
  ): void;
  update_cursor(): void;
  update_cursor_scanline(): void;
  update_layers(): void;
  update_vertical_retrace(): void;
  complete_redraw(): void;
  screen_fill_buffer(): void;
}

export interface V86Devices {
  readonly virtio_balloon?: V86Balloon;
  readonly vga: V86Vga;
  readonly pci: V86Pci;
  readonly pit: V86Pit;
  readonly rtc: V86Rtc;
  readonly ps2: V86Ps2;
  readonly uart0: V86Uart;
  readonly uart1?: V86Uart;
  readonly uart2?: V86Uart;
  readonly uart3?: V86Uart;
  readonly acpi?: V86Acpi;
  readonly ide?: V86Ide;
  readonly fdc?: V86Floppy;
  readonly sb16?: V86Sb16;
  readonly net?: V86Stateful;
  readonly [name: string]: unknown;
}

type V86PortRead = () => number;
type V86PortWrite = (value: number) => void;

export interface V86Io {
  port_read8(port: number): number;
  port_write8(port: number, value: number): void;
  register_read(port: number, device: object, r8: V86PortRead, r16: V86PortRead, r32: V86PortRead): void;
  register_write(port: number, device: object, w8: V86PortWrite, w16: V86PortWrite, w32: V86PortWrite): void;
}

export interface V86Cpu extends V86Stateful {
  readonly wasm_memory: { readonly buffer: ArrayBufferLike };
  readonly mem8: V86View;
  readonly memory_size: V86View;
  readonly acpi_enabled: V86View;
  readonly devices: V86Devices;
  readonly bios: { readonly main: ArrayBuffer | null; readonly vga: ArrayBuffer | null };
  readonly io: V86Io;
  /** Runs for a slice; returns how long the machine sleeps, in milliseconds. */
  main_loop: () => number;
  readonly wm: { readonly exports: { read_tsc(): bigint; handle_irqs(): void } & WebAssembly.Exports };
  last_result: unknown;
  fpu_status_word: unknown;
  mxcsr: unknown;
  fw_pointer: number;
  pack_memory: () => { bitmap: { get_buffer(): ArrayBuffer }; packed_memory: Uint8Array };
  unpack_memory: (bitmap: unknown, packed: unknown) => void;
  reset_memory: () => void;
  zero_memory: (address: number, sizeBytes: number) => void;
  load_bios: () => void;
  /** By blocks of 128 KiB: what writes a byte where no RAM is. */
  readonly memory_map_write8: ((address: number, value: number) => void)[];
  jit_clear_cache: () => void;
  readonly jit_dirty_cache: (start: number, end: number) => void;
  full_clear_tlb: () => void;
  readonly update_state_flags: () => void;
  readonly set_tsc: (low: number, high: number) => void;
  readonly svga_mark_dirty: () => void;
  readonly zstd_create_ctx: (sourceBytes: number) => number;
  readonly zstd_get_src_ptr: (context: number) => number;
  readonly zstd_read: (context: number, lengthBytes: number) => number;
  readonly zstd_read_free: (address: number, lengthBytes: number) => void;
  readonly zstd_free_ctx: (context: number) => void;
  readonly svga_allocate_dest_buffer: (pixels: number) => number;
  readonly get_apic_addr: () => number;
}

export interface V86Core {
  readonly cpu: V86Cpu;
  running: boolean;
  stopping: boolean;
  do_tick: () => void;
  next_tick(delayMs: number): void;
  readonly constructor: { microtick: () => number };
}

export interface V86Bus {
  send: (event: string, value?: unknown) => void;
}

/** An emulator as `new V86(…)` makes it. */
export interface V86Emulator {
  readonly v86: V86Core;
  readonly bus: V86Bus;
  screen_adapter: V86ScreenAdapter;
  add_listener(event: string, listener: (value: never) => void): void;
  remove_listener(event: string, listener: (value: never) => void): void;
  run(): Promise<void>;
  stop(): Promise<void>;
  destroy(): Promise<void>;
  restore_state(state: ArrayBuffer): Promise<void>;
  zstd_decompress(sizeBytes: number, source: Uint8Array): ArrayBufferLike;
}

const FUNCTIONS = [
  'add_listener',
  'remove_listener',
  'run',
  'stop',
  'destroy',
  'bus.send',
  'v86.do_tick',
  'v86.next_tick',
  'v86.constructor.microtick',
  ...[
    'get_state',
    'set_state',
    'pack_memory',
    'unpack_memory',
    'jit_clear_cache',
    'jit_dirty_cache',
    'full_clear_tlb',
    'update_state_flags',
    'set_tsc',
    'svga_mark_dirty',
    'svga_allocate_dest_buffer',
    'get_apic_addr',
    'wm.exports.read_tsc',
    'wm.exports.handle_irqs',
    'io.port_read8',
    'io.port_write8',
    'io.register_read',
    'io.register_write',
    'main_loop',
    'devices.pci.io.create_empty_entry',
    'devices.vga.get_state',
    'devices.vga.set_size_text',
    'devices.vga.set_size_graphical',
    'devices.vga.update_cursor',
    'devices.vga.update_cursor_scanline',
    'devices.vga.update_layers',
    'devices.vga.update_vertical_retrace',
    'devices.vga.complete_redraw',
    'devices.vga.screen_fill_buffer',
    'devices.vga.screen.set_mode',
    'devices.ps2.kbd_buffer.push',
    'devices.ps2.mouse_buffer.push',
  ].map((name) => `v86.cpu.${name}`),
];

const NUMBERS = [
  'mem8.byteOffset',
  'mem8.length',
  'memory_size.0',
  'fw_pointer',
  'devices.vga.vga_memory_size',
  'devices.vga.svga_memory.byteOffset',
  'devices.vga.port_3DA_value',
  'devices.rtc.last_update',
  'devices.pci.devices.length',
  'devices.pci.device_spaces.length',
  'devices.pit.counter_start_time.length',
  'devices.uart0.input.length',
].map((name) => `v86.cpu.${name}`);

/** Where v86's views must lie, since restores write there directly. A view replaced by a stock restore is no witness. */
const PLACES: Readonly<Record<string, number>> = {
  reg32: CPU_BLOCK.start,
  last_result: CPU_BLOCK.lastResult,
  flags: CPU_BLOCK.flags,
  in_hlt: CPU_BLOCK.halted,
  instruction_counter: CPU_BLOCK.instructionCounter,
  acpi_enabled: CPU_BLOCK.acpiEnabled,
  memory_size: CPU_BLOCK.memorySize,
  mxcsr: CPU_BLOCK.mxcsr,
  current_tsc: CPU_BLOCK.currentTsc,
  fpu_status_word: CPU_BLOCK.fpuStatusWord,
};

/**
 * The emulator, once everything that the adapter needs of it is there.
 *
 * Throws `unsupported` with `missing`, the first name that is absent, of another type or at another address, when the
 * emulator is another build or is not ready yet (wait for its event `emulator-ready`).
 */
export function checkInternals(emulator: unknown): V86Emulator {
  const need = (found: boolean, missing: string) => {
    if (!found) throw new VitrineError('unsupported', { missing: `v86: ${missing}`, expected: V86_VERSION });
  };
  for (const name of FUNCTIONS) need(typeof property(emulator, name) === 'function', name);
  for (const name of NUMBERS) need(typeof property(emulator, name) === 'number', name);
  const memory = property(emulator, 'v86.cpu.wasm_memory.buffer');
  need(memory instanceof ArrayBuffer || isShared(memory), 'v86.cpu.wasm_memory');
  for (const [name, place] of Object.entries(PLACES)) {
    if (property(emulator, `v86.cpu.${name}.buffer`) !== memory) continue;
    const actual = property(emulator, `v86.cpu.${name}.byteOffset`);
    need(actual === place, `v86.cpu.${name} at ${place}`);
  }
  // A shared file system keeps its files in the state, whole; it is neither memory nor a device.
  need(property(emulator, 'v86.cpu.devices.virtio_9p') === undefined, 'a machine without 9p file system');
  // Safe: what is used was looked at one by one above; the rest are optional devices of the same build.
  return emulator as V86Emulator;
}

function isShared(buffer: unknown): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && buffer instanceof SharedArrayBuffer;
}

function property(object: unknown, path: string): unknown {
  let value = object;
  for (const name of path.split('.')) {
    if (value === null || value === undefined) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}
