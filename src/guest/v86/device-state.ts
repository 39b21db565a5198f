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
import { arrayKind, type StateArray, type StateValue } from './state-codec.ts';
import { CPU_BLOCK, type V86Cpu, type V86Stateful, type V86View } from './v86-internals.ts';

/** Places in the array that v86's `cpu.get_state` returns. */
const AT = {
  lastVirtualIp: 18,
  physicalIp: 19,
  tsc: 43,
  apic: 46,
  rtc: 47,
  vga: 52,
  pit: 58,
  packedMemory: 77,
  memoryBitmap: 78,
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

/** Tree of a machine: see the head of this file. */
export type DeviceTree = [cpu: StateValue[], block: Uint8Array<ArrayBuffer>, extras: StateValue[]];

/** The record name of a large buffer by its path in the tree: `0.52.6` is `vga.planes`. */
export function largeRecordName(path: string): string {
  const [, part = '', ...rest] = path.split('.');
  const name = [PART_NAMES[Number(part)] ?? `part${part}`, ...rest].join('.');
  return LARGE_NAMES[name] ?? name;
}

/** Reads the whole tree. The machine is paused and its clock frozen. Everything in the tree is a copy. */
export function captureTree(cpu: V86Cpu, disks: readonly AttachedDisk[], clock: GuestClock): DeviceTree {
  const state = withoutMemory(cpu, () => withoutDisks(disks, () => copyState(cpu.get_state(), '0')));
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

/** Puts a tree into the machine, which keeps the arrays in it. Memory and disks are not touched. */
export function applyTree(
  cpu: V86Cpu,
  disks: readonly AttachedDisk[],
  clock: GuestClock,
  tree: DeviceTree,
): void {
  const [state, block, extras] = tree;
  const { monotonicMs, wallMs } = clock.frozen;
  mapInstants(
    state,
    (instant) => instant + monotonicMs,
    (instant) => instant + wallMs,
  );
  withoutMemory(cpu, () => withoutDisks(disks, () => withPlainBars(cpu, () => cpu.set_state(state))));

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

  // Redrawing the screen touches what a guest can read.
  const vga = state[AT.vga] as StateValue[];
  cpu.devices.vga.port_3DA_value = vga[VGA_AT.port3da] as number;
  cpu.devices.vga.start_address_latched = vga[VGA_AT.startAddressLatched] as number;
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

function mapInstants(
  state: StateValue[],
  monotonic: (instant: number) => number,
  wall: (instant: number) => number,
): void {
  const pit = state[AT.pit] as StateValue[];
  pit[PIT_AT.startTimes] = (pit[PIT_AT.startTimes] as Float64Array).map(monotonic);
  const rtc = state[AT.rtc] as StateValue[];
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

/** v86's state as values of our own: devices become what their `get_state` gives, arrays are copied. */
function copyState(values: unknown[], path: string): StateValue[] {
  const copy: StateValue[] = [];
  for (let i = 0; i < values.length; i++) copy.push(copyValue(values[i], `${path}.${i}`));
  return copy;
}

function copyValue(value: unknown, path: string): StateValue {
  if (typeof value !== 'object' || value === null) return value as StateValue;
  if (Array.isArray(value)) return copyState(value, path);
  if (value instanceof Map) {
    return new Map(
      Array.from(value, ([key, one]) => [copyValue(key, path), copyValue(one, `${path}.${String(key)}`)]),
    );
  }
  if ((value as V86View).BYTES_PER_ELEMENT !== undefined) {
    // Video memory is a region.
    return path === `0.${AT.vga}.${VGA_AT.svgaMemory}` ? new Uint8Array(0) : copyArray(value as V86View);
  }
  return copyState((value as V86Stateful).get_state(), path);
}

function copyArray(view: V86View): StateArray {
  // v86's views are Proxies, whose constructor is a bound function.
  const name = (view as object).constructor.name.replace('bound ', '');
  const kind = arrayKind(name);
  if (kind === undefined) throw new Error(`v86 keeps state in a ${name}`);
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.length * view.BYTES_PER_ELEMENT);
  return new kind(Uint8Array.from(bytes).buffer);
}
