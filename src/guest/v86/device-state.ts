// All of a v86 machine that is not memory, as one tree of values, taken and put back.
//
//   tree ── 0 what v86's own state functions give, without RAM, video memory and disks, instants relative to the pause
//        ├─ 1 the CPU block: bytes 64 to 1,280 of v86's wasm memory, where all registers are
//        └─ 2 what v86's functions leave out: see `extra-state.ts`
//
// The block stands for itself because v86's functions miss words of it (the APIC's switch, the operands of lazily
// computed flags) and, when they restore `last_result`, `fpu_status_word` and `mxcsr`, replace the JavaScript views
// instead of the words: the old values stay in force and every later save stores a detached copy. They are never given
// those three here.
//
// Nothing of v86 is patched for good: what its functions must not do is overridden on the instance while they run.

import { type AttachedDisk, withoutDisks } from './disks.ts';
import { applyExtras, captureExtras } from './extra-state.ts';
import { APIC_LAST_TICK_OFFSET, type GuestClock, relativeTo } from './guest-clock.ts';
import { withPlainBars } from './pci-bars.ts';
import type { StateValue } from './state-codec.ts';
import { CPU_BLOCK, type V86Cpu, type V86Devices } from './v86-internals.ts';

/** Places in the array that v86's `cpu.get_state` returns. */
const AT = {
  lastVirtualIp: 18,
  physicalIp: 19,
  tsc: 43,
  apic: 46,
  rtc: 47,
  pci: 48,
  vga: 52,
  pit: 58,
  net: 59,
  sb16: 61,
  packedMemory: 77,
  memoryBitmap: 78,
  ide: 85,
  lastResult: 86,
  fpuStatusWord: 87,
  mxcsr: 88,
} as const;

const VGA_AT = { svgaMemory: 39, port3da: 36, startAddressLatched: 45 } as const;
const PIT_AT = { startTimes: 7 } as const;
const RTC_AT = { lastUpdate: 3, nextInterrupt: 4, nextAlarm: 5, nextUpdate: 13 } as const;

/** Names of the parts of the state that large buffers are found in. */
const PART_NAMES: Readonly<Record<number, string>> = {
  47: 'rtc',
  48: 'pci',
  49: 'dma',
  52: 'vga',
  53: 'ps2',
  54: 'uart0',
  55: 'fdc',
  58: 'pit',
  59: 'net',
  61: 'sb16',
  82: 'virtio-console',
  83: 'virtio-net',
  84: 'virtio-balloon',
  85: 'ide',
};

const LARGE_NAMES: Readonly<Record<string, string>> = {
  'vga.6': 'vga.planes',
  'vga.61': 'vga.pixels',
  'sb16.24': 'sb16.dma',
  'net.16': 'net.memory',
};

/**
 * Parts whose devices take long to load, or copy large buffers or draw the screen: they are passed over where the machine
 * holds the very state already. Whoever runs it for a moment and goes back finds them so nearly always.
 */
export const SKIPPABLE_PARTS: ReadonlyMap<number, keyof V86Devices> = new Map([
  [AT.pci, 'pci'],
  [AT.vga, 'vga'],
  [AT.net, 'net'],
  [AT.sb16, 'sb16'],
  [AT.ide, 'ide'],
]);

/** Tree of a machine: see the head of this file. */
export type DeviceTree = [cpu: StateValue[], block: Uint8Array<ArrayBuffer>, extras: StateValue[]];

/** The record name of a large buffer by its path in the tree: `0.52.6` is `vga.planes`. */
export function largeRecordName(path: string): string {
  const [, part = '', ...rest] = path.split('.');
  const name = [PART_NAMES[Number(part)] ?? `part${part}`, ...rest].join('.');
  return LARGE_NAMES[name] ?? name;
}

/**
 * The machine's tree, to be encoded at once: v86's own arrays, views and devices stand in it. The machine is paused, its
 * clock frozen, and its disks are kept out (`withoutDisks`) until it is encoded.
 */
export function readTree(
  cpu: V86Cpu,
  clock: GuestClock,
): [state: unknown[], block: Uint8Array, extras: unknown] {
  const state = withoutMemory(cpu, () => cpu.get_state());
  const { pit, rtc, vga } = cpu.devices;
  // Arrays of this call alone; what is changed in them below is changed in them alone.
  state[AT.pit] = pit.get_state();
  state[AT.rtc] = rtc.get_state();
  state[AT.apic] = (state[AT.apic] as Uint8Array).slice();
  const ofVga = vga.get_state();
  // Video memory is a region.
  ofVga[VGA_AT.svgaMemory] = new Uint8Array(0);
  state[AT.vga] = ofVga;
  const { monotonicMs, wallMs, tsc } = clock.frozen;
  const mono = (instant: number) => relativeTo(monotonicMs, instant, 'monotonic');
  mapInstants(state, mono, (instant) => relativeTo(wallMs, instant, 'wall'));
  // Derived: v86 finds them again from the instruction pointer once the TLB is empty.
  state[AT.lastVirtualIp] = -1;
  state[AT.physicalIp] = 0;
  state[AT.tsc] = new Uint32Array([Number(tsc & 0xffff_ffffn), Number(tsc >> 32n)]);
  for (const place of [AT.lastResult, AT.fpuStatusWord, AT.mxcsr]) state[place] = undefined;

  const block = new Uint8Array(cpu.wasm_memory.buffer).slice(CPU_BLOCK.start, CPU_BLOCK.end);
  const view = new DataView(block.buffer);
  view.setInt32(CPU_BLOCK.lastVirtualIp - CPU_BLOCK.start, -1, true);
  view.setInt32(CPU_BLOCK.physicalIp - CPU_BLOCK.start, 0, true);
  view.setBigUint64(CPU_BLOCK.currentTsc - CPU_BLOCK.start, tsc, true);
  block.fill(0, CPU_BLOCK.svgaDirty - CPU_BLOCK.start, CPU_BLOCK.svgaDirtyEnd - CPU_BLOCK.start);
  return [state, block, captureExtras(cpu, clock.frozen)];
}

/**
 * Puts a tree into the machine, which keeps the arrays in it. Memory and disks are not touched. Devices whose parts are in
 * `unchanged`, a subset of `SKIPPABLE_PARTS`, are passed over.
 */
export function applyTree(
  cpu: V86Cpu,
  disks: readonly AttachedDisk[],
  clock: GuestClock,
  tree: DeviceTree,
  unchanged: ReadonlySet<number> = new Set(),
): void {
  const [state, block, extras] = tree;
  const { monotonicMs, wallMs } = clock.frozen;
  mapInstants(
    state,
    (instant) => instant + monotonicMs,
    (instant) => instant + wallMs,
  );
  const load = () => withoutParts(cpu, unchanged, () => cpu.set_state(state));
  // Ranges that are where they belong need not be taken away first.
  const loadPci = () => (unchanged.has(AT.pci) ? load() : withPlainBars(cpu, load));
  withoutMemory(cpu, () => withoutDisks(disks, loadPci));

  const memory = new Uint8Array(cpu.wasm_memory.buffer);
  const words = new DataView(block.buffer, block.byteOffset, block.length);
  const keep = (start: number, end: number) =>
    block.set(memory.subarray(start, end), start - CPU_BLOCK.start);
  // What the machine was built with and what belongs to the screen; a hostile size would let the guest out of its RAM.
  keep(CPU_BLOCK.memorySize, CPU_BLOCK.memorySize + 4);
  keep(CPU_BLOCK.acpiEnabled, CPU_BLOCK.acpiEnabled + 1);
  keep(CPU_BLOCK.svgaDirty, CPU_BLOCK.svgaDirtyEnd);
  words.setInt32(CPU_BLOCK.lastVirtualIp - CPU_BLOCK.start, -1, true);
  words.setInt32(CPU_BLOCK.physicalIp - CPU_BLOCK.start, 0, true);
  const tsc = words.getBigUint64(CPU_BLOCK.currentTsc - CPU_BLOCK.start, true);
  memory.set(block, CPU_BLOCK.start);
  cpu.update_state_flags();
  cpu.full_clear_tlb();

  if (!unchanged.has(AT.vga)) {
    // Redrawing the screen touches what a guest can read.
    const vga = state[AT.vga] as StateValue[];
    cpu.devices.vga.port_3DA_value = vga[VGA_AT.port3da] as number;
    cpu.devices.vga.start_address_latched = vga[VGA_AT.startAddressLatched] as number;
  }
  clock.load(tsc, applyExtras(cpu, extras, monotonicMs));
}

/** Runs one of v86's state functions without RAM and without losing compiled code: pages written have lost theirs. */
function withoutMemory<T>(cpu: V86Cpu, work: () => T): T {
  const { pack_memory, unpack_memory, jit_clear_cache } = cpu;
  cpu.pack_memory = () => ({
    bitmap: { get_buffer: () => new ArrayBuffer(0) },
    packed_memory: new Uint8Array(0),
  });
  cpu.unpack_memory = () => undefined;
  cpu.jit_clear_cache = () => undefined;
  try {
    return work();
  } finally {
    Object.assign(cpu, { pack_memory, unpack_memory, jit_clear_cache });
  }
}

/** Runs v86's `set_state`, which passes over devices that are not there, as if those of some parts were not. */
function withoutParts<T>(cpu: V86Cpu, parts: ReadonlySet<number>, work: () => T): T {
  const away: Record<string, unknown> = {};
  for (const part of parts) {
    const name = SKIPPABLE_PARTS.get(part);
    // IDE is passed over for want of a part; what it is found by has to stay.
    if (name === undefined || name === 'ide' || cpu.devices[name] === undefined) continue;
    away[name] = cpu.devices[name];
    Object.assign(cpu.devices, { [name]: undefined });
  }
  try {
    return work();
  } finally {
    Object.assign(cpu.devices, away);
  }
}

function mapInstants(
  state: unknown[],
  monotonic: (instant: number) => number,
  wall: (instant: number) => number,
): void {
  const pit = state[AT.pit] as unknown[];
  pit[PIT_AT.startTimes] = (pit[PIT_AT.startTimes] as Float64Array).map(monotonic);
  const rtc = state[AT.rtc] as unknown[];
  rtc[RTC_AT.lastUpdate] = wall(rtc[RTC_AT.lastUpdate] as number);
  for (const place of [RTC_AT.nextInterrupt, RTC_AT.nextAlarm, RTC_AT.nextUpdate]) {
    // Zero says that none is set; a relative instant of zero is moved by less than the guest can see.
    const instant = rtc[place] as number;
    if (instant !== 0) rtc[place] = wall(instant) || 1 / 256;
  }
  const apic = state[AT.apic] as Uint8Array;
  const view = new DataView(apic.buffer, apic.byteOffset, apic.length);
  view.setFloat64(APIC_LAST_TICK_OFFSET, monotonic(view.getFloat64(APIC_LAST_TICK_OFFSET, true)), true);
}
