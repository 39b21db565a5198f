// A program of a few bytes that rings the doorbell of its machine again and again, with interrupts coming as they like, and
// counts what it does, so that a test can say to the instruction where it was held.

import { V86_DOORBELL_PORT } from '../../../src/guest/v86/doorbell.ts';
import type { V86Guest } from '../../../src/guest/v86/index.ts';
import { openProgram } from './machines.ts';

/** Where it counts, in RAM; each a 32-bit word. */
export const RINGING = {
  /** Rounds of its loop; it rings when the low twelve bits are zero. */
  rounds: 0x1000,
  /** Counted by the instruction right behind the ring. */
  behind: 0x1004,
  /** The answers that it read: how many of each, and the last. */
  first: 0x1008,
  restored: 0x100c,
  refused: 0x1010,
  last: 0x1014,
  /** Timer interrupts. */
  ticks: 0x1018,
  /** The word that it rings with; `s` at first. */
  word: 0x101c,
} as const;

/** Address in the first megabyte of the instruction right behind the ring. */
export const BEHIND_RING = 0xf_0100;

const CODE = [
  // Interrupt 8 at f000:0200, a stack, the word to ring with.
  [0x31, 0xc0], // xor ax, ax
  [0x8e, 0xd8], // mov ds, ax
  [0x8e, 0xd0], // mov ss, ax
  [0xbc, 0x00, 0x80], // mov sp, 0x8000
  [0xc7, 0x06, 0x20, 0x00, 0x00, 0x02], // mov word [0x20], 0x0200
  [0xc7, 0x06, 0x22, 0x00, 0x00, 0xf0], // mov word [0x22], 0xf000
  [0xc6, 0x06, 0x1c, 0x10, 0x73], // mov byte [0x101c], 's'
  // The interrupt controller: vector 8, timer alone; the timer: every 298 of 1,193,182 ticks a second.
  ...[
    [0x11, 0x20],
    [0x08, 0x21],
    [0x04, 0x21],
    [0x01, 0x21],
    [0xfe, 0x21],
    [0x34, 0x43],
    [0x2a, 0x40],
    [0x01, 0x40],
  ].map(
    ([value, port]) => [0xb0, value!, 0xe6, port!], // mov al, value; out port, al
  ),
  [0x66, 0x31, 0xdb], // xor ebx, ebx
  [0xfb], // sti
  [0xe9, 0x00, 0x00], // jmp near to 0x00e0, put in below
];

/** From 0x00e0 on; the `out` ends at 0x0100. */
const LOOP = [
  [0x66, 0x43], // 00e0 loop: inc ebx
  [0x66, 0x89, 0x1e, 0x00, 0x10], // 00e2 mov [0x1000], ebx
  [0xf7, 0xc3, 0xff, 0x0f], // 00e7 test bx, 0x0fff
  [0x75, 0xf3], // 00eb jnz loop
  [0xba, V86_DOORBELL_PORT & 0xff, V86_DOORBELL_PORT >> 8], // 00ed mov dx, port
  [0xa0, 0x1c, 0x10], // 00f0 mov al, [0x101c]
  ...Array.from({ length: 12 }, () => [0x90]), // 00f3 nop
  [0xee], // 00ff out dx, al
  [0x66, 0xff, 0x06, 0x04, 0x10], // 0100 inc dword [0x1004]
  [0xec], // in al, dx
  [0xa2, 0x14, 0x10], // mov [0x1014], al
  ...(
    [
      [0x73, 0x08],
      [0x72, 0x0c],
      [0x6e, 0x10],
    ] as const
  ).map(([word, count]) => [0x3c, word, 0x75, 0x05, 0x66, 0xff, 0x06, count, 0x10]), // cmp al; jne +5; inc dword
];

const TICK = [
  [0x66, 0xff, 0x06, 0x18, 0x10], // inc dword [0x1018]
  [0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58], // push ax; mov al, 0x20; out 0x20, al; pop ax
  [0xcf], // iret
];

/** The machine, not started. */
export async function openRinging(compile = true): Promise<V86Guest> {
  const rom = new Uint8Array(0x300);
  const start = Uint8Array.from(CODE.flat());
  rom.set(start);
  jump(rom, start.length - 3, 0xe0);
  const loop = Uint8Array.from(LOOP.flat());
  rom.set(loop, 0xe0);
  rom.set([0xe9, 0, 0], 0xe0 + loop.length);
  jump(rom, 0xe0 + loop.length, 0xe0);
  rom.set(TICK.flat(), 0x200);
  return openProgram(rom, 0, { compile });
}

/** Puts the target of a near jump in. */
function jump(rom: Uint8Array, at: number, target: number): void {
  new DataView(rom.buffer).setInt16(at + 1, target - (at + 3), true);
}

/** A word of RAM of a guest that rests. */
export function counted(guest: V86Guest, name: keyof typeof RINGING): number {
  const ram = guest.view(0)!;
  return new DataView(ram.buffer, ram.byteOffset).getUint32(RINGING[name], true);
}
