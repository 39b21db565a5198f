// The guest's time. v86's timers hold instants of the host (`performance.now()`, the calendar, the TSC's offset), which
// mean nothing in another tab: a new page counts from zero. So state is saved relative to the pause it was taken in, and
// after a restore the guest's time goes on from there, however much later, its real-time clock included.
//
// A pause without a restore takes time for the guest, as a slow host does.
//
//   pause ── freeze ──▶ instants ──▶ save: relative to them
//                                └─▶ load: relative to them again ──▶ first slice: all moves on by the time since
//
// Until a slice runs the instants hold through any number of pauses: a machine that its user stopped does not age, and
// its saves are the same bytes.
//
// v86's `set_tsc` takes the old offset off twice, so that every second restore is wrong; it is called here in a way
// that gives the right value whatever the offset was.

import type { V86Acpi, V86Cpu } from './v86-internals.ts';

/** Sums of these steps are exact in a double for years of uptime, so that load and save give the same bytes. */
const MONOTONIC_STEPS_PER_MS = 2 ** 16;
const WALL_STEPS_PER_MS = 2 ** 8;

/** One moment of the host, and the guest's time-stamp counter in it. */
export interface FrozenTime {
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly tsc: bigint;
  /** ACPI's timer counts from another zero than `monotonicMs` by this. */
  readonly acpiOffsetMs: number;
}

/** Where the APIC, a struct in wasm memory, keeps the instant of its last tick. */
export const APIC_LAST_TICK_OFFSET = 24;
export const APIC_BYTES = 184;

export class GuestClock {
  readonly #cpu: V86Cpu;
  readonly #microtick: () => number;
  readonly #wall: () => number;
  readonly #beforeTsc: () => void;
  readonly #acpi: V86Acpi | undefined;
  #acpiOffsetMs = 0;
  #frozen: FrozenTime = { monotonicMs: 0, wallMs: 0, tsc: 0n, acpiOffsetMs: 0 };
  #holds = false;
  #loaded = false;

  /** `virtual` is the calendar of a machine in a time of its own, and what makes its time-stamp counter exact. */
  constructor(cpu: V86Cpu, microtick: () => number, virtual?: { readonly wallMs: number; parkTsc(): void }) {
    this.#cpu = cpu;
    this.#microtick = microtick;
    this.#wall = virtual === undefined ? Date.now : () => virtual.wallMs;
    this.#beforeTsc = () => virtual?.parkTsc();
    this.#acpi = cpu.devices.acpi;
    const acpi = this.#acpi;
    if (acpi === undefined) return;
    const original = acpi.get_timer;
    acpi.get_timer = (nowMs) => original.call(acpi, nowMs + this.#acpiOffsetMs);
  }

  /** The guest was paused just now. */
  freeze(): void {
    if (this.#holds) return;
    // A machine in a time of its own says the same at each rest that no slice lies between.
    this.#beforeTsc();
    this.#frozen = {
      monotonicMs: Math.floor(this.#microtick() * MONOTONIC_STEPS_PER_MS) / MONOTONIC_STEPS_PER_MS,
      wallMs: this.#wall(),
      tsc: BigInt.asUintN(64, this.#cpu.wm.exports.read_tsc()),
      acpiOffsetMs: this.#acpiOffsetMs,
    };
    this.#holds = true;
  }

  /** As `freeze`, also when it holds: time itself was set. */
  freezeAnew(): void {
    this.#holds = false;
    this.freeze();
  }

  /** The moment of the pause, or what was loaded in it. */
  get frozen(): FrozenTime {
    return this.#frozen;
  }

  /** Time-stamp counter and ACPI offset of the state that is being loaded. */
  load(tsc: bigint, acpiOffsetMs: number): void {
    this.#frozen = { ...this.#frozen, tsc, acpiOffsetMs };
    this.#acpiOffsetMs = acpiOffsetMs;
    this.#loaded = true;
  }

  /** The guest runs from here: when state was loaded, its time goes on from the loaded instant. */
  thaw(): void {
    this.#holds = false;
    if (!this.#loaded) return;
    const { monotonicMs, wallMs, tsc } = this.#frozen;
    const later = this.#microtick() - monotonicMs;
    const wallLater = this.#wall() - wallMs;
    const { pit, rtc } = this.#cpu.devices;
    pit.counter_start_time = pit.counter_start_time.map((instant) => instant + later);
    rtc.last_update += wallLater;
    // Zero is not an instant here: it says that none is set.
    if (rtc.next_interrupt !== 0) rtc.next_interrupt += wallLater;
    if (rtc.next_interrupt_alarm !== 0) rtc.next_interrupt_alarm += wallLater;
    if (rtc.update_interrupt_time !== 0) rtc.update_interrupt_time += wallLater;
    const apic = new DataView(this.#cpu.wasm_memory.buffer, this.#cpu.get_apic_addr(), APIC_BYTES);
    const lastTick = apic.getFloat64(APIC_LAST_TICK_OFFSET, true);
    apic.setFloat64(APIC_LAST_TICK_OFFSET, lastTick + later, true);
    this.#acpiOffsetMs -= later;
    this.#setTsc(tsc);
    this.#loaded = false;
  }

  /** Gives the emulator its own function back. */
  remove(): void {
    // Deleting uncovers the function of v86's prototype.
    if (this.#acpi !== undefined) delete (this.#acpi as Partial<V86Acpi>).get_timer;
  }

  /** `set_tsc(x)` leaves the offset at `now - old - x`: the first call makes it about zero, the second is right then. */
  #setTsc(value: bigint): void {
    this.#beforeTsc();
    this.#callSetTsc(BigInt.asUintN(64, this.#cpu.wm.exports.read_tsc()));
    this.#callSetTsc(value);
  }

  /** What it reads may equal the reading before, though later, since the offset was another then. */
  #callSetTsc(value: bigint): void {
    this.#beforeTsc();
    this.#cpu.set_tsc(Number(value & 0xffff_ffffn), Number(value >> 32n));
  }
}

/** An instant as it is saved: relative to the pause, in steps whose sums are exact. */
export function relativeTo(originMs: number, instantMs: number, kind: 'monotonic' | 'wall'): number {
  const steps = kind === 'monotonic' ? MONOTONIC_STEPS_PER_MS : WALL_STEPS_PER_MS;
  return Math.round((instantMs - originMs) * steps) / steps;
}
