// The time stamp counter of a machine that QEMU translates (TCG).
//
// QEMU never lets a process's counter go back: after a restore in place its guest would see the counter of before go on, and the time
// between the two instants pass at once, while all other clocks are the snapshot's. What a guest reads is that counter plus an offset of each
// processor, there for machines within machines (SVM), and both are state. So a state goes in with a counter that is higher than any this
// process can have had, and with offsets that take away what it is too high by. It comes out with both put together again, as a state of a
// process that was never restored: how often a machine went back is not in its snapshots. With KVM the counter goes back by itself.
//
// Places in sections of version 12 and 2, the same in QEMU 7.2 and 10.0, big-endian:
//
//   | Section | Offset | Size | Field                                          |
//   |---------|--------|------|------------------------------------------------|
//   | cpu     | 144    | 4    | hflags; bit 21 while it runs a machine within  |
//   | cpu     | 896    | 8    | tsc_offset                                     |
//   | timer   | 0      | 8    | cpu_ticks_offset: the counter at rest          |

import { sectionName } from './device-records.ts';
import type { DeviceSection } from './stream/index.ts';

const CPU = { name: 'cpu', versionId: 12, flagsAt: 144, offsetAt: 896, leastBytes: 904 } as const;
const WITHIN = 1 << 21;
/** With more in it the counter is made of instructions (`-icount`), and what is here does not hold. */
const TIMER = { name: 'timer', versionId: 2, bytes: 24 } as const;
/** Higher than processors count in a millisecond; the counter lasts until 2056. */
const TICKS_A_MS = 8_000_000n;
const SINCE_MS = Date.UTC(2020);

/** Bytes in place of those at an offset of a section's body. */
export interface SectionEdit {
  /** As `sectionName`. */
  readonly section: string;
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
}

/** Sections as a machine without a past has them. */
export function withoutPast(sections: readonly DeviceSection[]): DeviceSection[] {
  const clock = clockOf(sections);
  const pastOffset = clock?.offsets[0]?.ticks ?? 0n;
  if (clock === undefined || pastOffset === 0n) return [...sections];
  const edits = editsOf(clock, pastOffset);
  return sections.map((section) => {
    const edit = edits.find((one) => one.section === sectionName(section));
    if (edit === undefined) return section;
    const body = section.body.slice();
    body.set(edit.bytes, edit.offsetBytes);
    return { ...section, body };
  });
}

/** What makes a state one that may go into a process with a past, at this time (`Clock.wallMs`). */
export function editsForPast(sections: readonly DeviceSection[], wallMs: number): SectionEdit[] {
  const clock = clockOf(sections);
  if (clock === undefined) return [];
  return editsOf(clock, BigInt(Math.floor(wallMs) - SINCE_MS) * TICKS_A_MS - clock.ticks);
}

interface GuestClock {
  readonly timer: string;
  readonly ticks: bigint;
  readonly offsets: readonly { readonly section: string; readonly ticks: bigint }[];
}

/** Undefined for machines that are told otherwise, and within machines. */
function clockOf(sections: readonly DeviceSection[]): GuestClock | undefined {
  const timer = sections.find(({ name }) => name === TIMER.name);
  if (timer?.versionId !== TIMER.versionId || timer.body.length !== TIMER.bytes) return undefined;
  const offsets: { section: string; ticks: bigint }[] = [];
  for (const section of sections) {
    if (section.name !== CPU.name) continue;
    if (section.versionId !== CPU.versionId || section.body.length < CPU.leastBytes) return undefined;
    const view = viewOf(section);
    if ((view.getUint32(CPU.flagsAt) & WITHIN) !== 0) return undefined;
    offsets.push({ section: sectionName(section), ticks: view.getBigInt64(CPU.offsetAt) });
  }
  if (offsets.length === 0) return undefined;
  return { timer: sectionName(timer), ticks: viewOf(timer).getBigInt64(0), offsets };
}

/** The same time with a counter that is higher by so much. */
function editsOf({ timer, ticks, offsets }: GuestClock, by: bigint): SectionEdit[] {
  return [
    { section: timer, offsetBytes: 0, bytes: wordOf(ticks + by) },
    ...offsets.map((one) => ({
      section: one.section,
      offsetBytes: CPU.offsetAt,
      bytes: wordOf(one.ticks - by),
    })),
  ];
}

function viewOf({ body }: DeviceSection): DataView {
  return new DataView(body.buffer, body.byteOffset, body.length);
}

function wordOf(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, value);
  return bytes;
}
