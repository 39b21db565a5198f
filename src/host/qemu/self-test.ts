// Proves, on the QEMU that is here, that state goes out and in as it should: with Pulse, a machine whose memory says by its own
// rules whether it is right. Some of what is used QEMU calls experimental (`x-ignore-shared`), and none of it was made for
// this; so it is not believed, it is tried, once a process for each program and accelerator, in less than a second.
//
//   run ─▶ rest: RAM, sections both ways ─▶ run on ─▶ rest: RAM back, state in ─▶ compare both ─▶ run on ─▶ the next value
//
// What was written between rests, by Pulse and by us, has to be told by the kernel, where it can.

import { isVitrineError, VitrineError } from '../../base/error.ts';
import { LIMITS, MIB } from '../../base/limits.ts';
import type { DeviceRecord } from '../../guest/guest.ts';
import { PULSE, PULSE_FACTS, pulseRom } from '../../guest/pulse/pulse.ts';
import type { PageSet } from '../../memory/page-set.ts';
import { openQemuGuest, type QemuGuest } from './qemu-guest.ts';
import { onceForEach, type Tried, withTrialMachine } from './trial.ts';

const MEMORY_BYTES = 4 * MIB;
/** Pages of work before each rest: some tens of milliseconds. */
const PAGES = 4;
const TIMEOUT_MS = 20_000;

/** Whether a path was seen to work, and what went wrong where not. */
export interface Verdict {
  readonly works: boolean;
  /** What was seen, for people. */
  readonly because: string;
}

/** What was tried. */
export interface SelfTestReport {
  /** Device sections by `xen-save-devices-state`; where that fails, the whole state is saved each time. */
  readonly quickSave: Verdict;
  /** State loaded into the running process; where that fails, machines cannot be restored in place. */
  readonly inPlace: Verdict;
  /** Soft-dirty bits tell what is written to a RAM file; where that fails, machines are compared as a whole. */
  readonly marks: Verdict;
}

/** Proves a profile's program and accelerator; the second time it knows. Throws `guest-start` when QEMU does not start. */
export const selfTest = onceForEach(prove);

function prove({ program, accelerator }: Tried, root: string | undefined): Promise<SelfTestReport> {
  // Pulse knows the old interrupt controllers alone; firmware would let them through the local APIC.
  const profile = { program, accelerator, memoryBytes: MEMORY_BYTES, cpu: 'qemu64,-apic' };
  return withTrialMachine('self-test', pulseRom(), profile, root, async (process) =>
    proveMachine(await openQemuGuest(process, { quickSave: true })),
  );
}

async function proveMachine(guest: QemuGuest): Promise<SelfTestReport> {
  try {
    await guest.start();
    await runOn(guest, PAGES);
    await guest.pause();
    const ram = ramOf(guest);
    const whole = await guest.saveDevicesWhole();
    const records = await guest.saveDevices();
    const marks = new MarksProof(guest);
    marks.look(ram);
    const quickSave = verdictOf(
      await differenceOfWays(guest, whole, records),
      'it gave what the whole state holds',
    );
    await guest.resume();
    await runOn(guest, PAGES);
    await guest.pause();
    marks.look(ramOf(guest));
    guest.writePages({ region: 0, offsetBytes: 0, lengthBytes: ram.length }, ram);
    await guest.loadDevices(records);
    const difference = ramOf(guest).equals(ram)
      ? differenceOf(records, await guest.saveDevices())
      : 'loading state changed RAM';
    await guest.resume();
    await runOn(guest, PAGES);
    await guest.pause();
    const after = ramOf(guest);
    marks.look(after);
    const inPlace = verdictOf(difference ?? faultOf(after), 'Pulse went on with the next value');
    return { quickSave, inPlace, marks: marks.verdict };
  } catch (error) {
    if (!isVitrineError(error)) throw error;
    // Nothing is known then, so nothing is trusted.
    const verdict = { works: false, because: error.message };
    return { quickSave: verdict, inPlace: verdict, marks: verdict };
  }
}

/** Compares RAM at each rest with the one before: each page that differs has to be told. */
class MarksProof {
  readonly #guest: QemuGuest;
  #before: Buffer | undefined;
  #fault: string | undefined;
  /** Why nothing could be seen. */
  #unseen: string | undefined;
  /** Whether some look left a page out, as it must where nobody wrote it. */
  #isTelling = false;

  constructor(guest: QemuGuest) {
    this.#guest = guest;
    const { tracking, trackingReason } = guest.traits;
    if (tracking === 'none') this.#fault = trackingReason;
  }

  /** At a rest, with what RAM holds. */
  look(ram: Buffer): void {
    if (this.#fault !== undefined) return;
    const before = this.#before;
    this.#before = ram;
    const take = this.#guest.takeDirty();
    take.commit();
    if (before !== undefined) this.#fault = this.#faultOf(take.pages[0] ?? null, before, ram);
  }

  get verdict(): Verdict {
    if (this.#fault === undefined && this.#unseen === undefined && !this.#isTelling) {
      return { works: false, because: 'every page was told, written or not' };
    }
    return verdictOf(this.#fault, this.#unseen ?? 'every page that Pulse and we wrote was told');
  }

  #faultOf(told: PageSet | null, before: Buffer, ram: Buffer): string | undefined {
    // It may be so for a while, as when the system swaps: the first scans of each machine are compared, too.
    if (told === null) {
      this.#unseen = this.#guest.traits.trackingSource;
      return undefined;
    }
    for (let page = 0; page < told.pageCount; page++) {
      const [from, to] = [page * LIMITS.defaultPageBytes, (page + 1) * LIMITS.defaultPageBytes];
      if (!told.has(page) && ram.compare(before, from, to, from, to) !== 0) {
        return `page ${page} was written and not told`;
      }
    }
    this.#isTelling ||= told.size < told.pageCount;
    return undefined;
  }
}

/** Lets Pulse write so many more pages, and finish the tick it is in. */
async function runOn(guest: QemuGuest, pages: number): Promise<void> {
  const word = (address: number): number => wordIn(guest, address);
  const until = Date.now() + TIMEOUT_MS;
  const target = word(PULSE.loops) + pages;
  while (word(PULSE.magic) !== PULSE_FACTS.magic || word(PULSE.loops) < target) {
    if (Date.now() > until)
      throw new VitrineError('guest-timeout', { command: 'Pulse', timeoutMs: TIMEOUT_MS });
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function wordIn(guest: QemuGuest, offsetBytes: number): number {
  const bytes = new Uint8Array(4);
  guest.readTorn({ region: 0, offsetBytes, lengthBytes: 4 }, bytes);
  return new DataView(bytes.buffer).getUint32(0, true);
}

function ramOf(guest: QemuGuest): Buffer {
  const bytes = Buffer.alloc(MEMORY_BYTES);
  guest.readPages({ region: 0, offsetBytes: 0, lengthBytes: bytes.length }, bytes);
  return bytes;
}

/**
 * What the short way saved, between two of the long way. With KVM the timer ticks on in the kernel while a machine rests, and leaves
 * an interrupt that waits, once: one of the two has to be the same.
 */
async function differenceOfWays(
  guest: QemuGuest,
  whole: readonly DeviceRecord[],
  records: readonly DeviceRecord[],
): Promise<string | undefined> {
  return differenceOf(records, whole) && differenceOf(records, await guest.saveDevicesWhole());
}

function differenceOf(a: readonly DeviceRecord[], b: readonly DeviceRecord[]): string | undefined {
  const names = (records: readonly DeviceRecord[]): string => records.map(({ name }) => name).join(' ');
  if (names(a) !== names(b)) return `devices ${names(a)} became ${names(b)}`;
  const other = a.find(({ bytes }, index) => Buffer.compare(bytes, b[index]!.bytes) !== 0);
  return other === undefined ? undefined : `the state of ${other.name} became another`;
}

/** Whether the last page written, and the generator where Pulse rests, follow from the number of pages. */
function faultOf(ram: Buffer): string | undefined {
  const word = (address: number): number => ram.readUInt32LE(address);
  const loops = word(PULSE.loops);
  let random: number = PULSE_FACTS.seed;
  for (let i = 0; i < loops * (PULSE_FACTS.pageBytes / 4); i++) {
    random ^= random << 13;
    random ^= random >>> 17;
    random ^= random << 5;
  }
  const page = ((loops - 1) * PULSE_FACTS.stride) % PULSE_FACTS.pageCount;
  const last = word(PULSE.work + (page + 1) * PULSE_FACTS.pageBytes - 4);
  if (word(PULSE.health) === 2) return 'Pulse found its memory damaged';
  return last === random >>> 0 ? undefined : `page ${page} of Pulse is not what follows from ${loops} pages`;
}

function verdictOf(fault: string | undefined, seen: string): Verdict {
  return { works: fault === undefined, because: fault ?? seen };
}
