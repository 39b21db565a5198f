// Whether a tree of device state can be this machine's, before v86, which checks nothing, sees any of it. The tree that
// the machine has now is the pattern: same arrays, same lengths, same kinds of values. Where v86's state has a free
// length it is named below, and where a wild number would cost a hang or an allocation it has a range.

import type { DeviceTree } from './device-state.ts';
import { checkExtras } from './extra-state.ts';
import type { StateValue } from './state-codec.ts';
import type { V86Cpu } from './v86-internals.ts';

/** Parts of v86's state that have no fixed shape: a firmware value, and the queues of virtio devices. */
const FREE_PARTS = new Set(['0.62', '0.82', '0.83', '0.84']);

const VGA = 52;

/** Places and bounds of what v86's VGA multiplies: columns, rows, width, height, bits a pixel. */
const VGA_BOUNDS: readonly (readonly [place: number, most: number])[] = [
  [4, 512],
  [5, 512],
  [15, 4096],
  [16, 4096],
  [19, 32],
];

/** Where and why the tree cannot be this machine's, or undefined when it can. */
export function checkTree(cpu: V86Cpu, tree: StateValue, now: DeviceTree): string | undefined {
  if (!Array.isArray(tree) || tree.length !== now.length) return 'tree';
  const difference = shapeDifference(tree[0], now[0], '0') ?? shapeDifference(tree[1], now[1], '1');
  return difference ?? checkVga(tree[0] as StateValue[], cpu) ?? checkExtras(cpu, tree[2]);
}

/** The path of the first value that differs in kind or length from the pattern's. */
function shapeDifference(value: StateValue, pattern: StateValue, path: string): string | undefined {
  if (FREE_PARTS.has(path)) {
    return (kindOf(value) === 'scalar') === (kindOf(pattern) === 'scalar') ? undefined : path;
  }
  if (Array.isArray(pattern)) {
    if (!Array.isArray(value) || value.length !== pattern.length) return path;
    for (let i = 0; i < pattern.length; i++) {
      const difference = shapeDifference(value[i], pattern[i], `${path}.${i}`);
      if (difference !== undefined) return difference;
    }
    return undefined;
  }
  if (pattern instanceof Map) return value instanceof Map ? undefined : path;
  if (ArrayBuffer.isView(pattern)) {
    const same =
      ArrayBuffer.isView(value) &&
      value.constructor === pattern.constructor &&
      value.byteLength === pattern.byteLength;
    return same ? undefined : path;
  }
  // A scalar of v86 may be a number now and null, undefined or a boolean later; text is text.
  if (kindOf(value) !== 'scalar' || Number.isNaN(value)) return path;
  return (typeof value === 'string') === (typeof pattern === 'string') ? undefined : path;
}

function kindOf(value: StateValue): 'array' | 'map' | 'bytes' | 'scalar' {
  if (Array.isArray(value)) return 'array';
  if (value instanceof Map) return 'map';
  return ArrayBuffer.isView(value) ? 'bytes' : 'scalar';
}

function checkVga(state: StateValue[], cpu: V86Cpu): string | undefined {
  const vga = state[VGA] as StateValue[];
  if (vga[0] !== cpu.devices.vga.vga_memory_size) return `0.${VGA}.0`;
  for (const [place, most] of VGA_BOUNDS) {
    const value = vga[place];
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > most) {
      return `0.${VGA}.${place}`;
    }
  }
  for (const [place, value] of vga.entries()) {
    if (typeof value === 'number' && !Number.isInteger(value)) return `0.${VGA}.${place}`;
  }
  return undefined;
}
