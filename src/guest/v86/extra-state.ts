// State of a v86 machine that v86's own state functions leave out: input that waits in queues, the position in a
// firmware value, the address-line port, ACPI's timer, the balloon's command.

import type { FrozenTime } from './guest-clock.ts';
import { relativeTo } from './guest-clock.ts';
import type { StateValue } from './state-codec.ts';
import type { V86ByteQueue, V86Cpu } from './v86-internals.ts';

/** Address line 20 and fast reset: v86 keeps its last value in a closure that only the port reaches. */
const PORT_A20 = 0x92;

/** The longest input that is believed: v86's serial queue has no bound of its own. */
const MAX_QUEUE_BYTES = 1 << 20;

type Extras = [
  serial: (Uint8Array | null)[],
  keyboard: Uint8Array,
  mouse: Uint8Array,
  ps2: [ready: boolean, aux: boolean, wheel: number],
  sound: [write: Uint8Array, read: Uint8Array] | null,
  machine: [firmwareAt: number, a20: number],
  acpi: [timerMs: number, lastValue: number, imprecision: number, lastTimer: number] | null,
  balloon: [command: number] | null,
];

/** Reads it. Queues are left as they are. */
export function captureExtras(cpu: V86Cpu, frozen: FrozenTime): StateValue[] {
  const { ps2, sb16, acpi, virtio_balloon: balloon } = cpu.devices;
  const extras: Extras = [
    uartsOf(cpu).map((uart) => (uart === undefined ? null : Uint8Array.from(uart.input))),
    peekQueue(ps2.kbd_buffer),
    peekQueue(ps2.mouse_buffer),
    [ps2.next_byte_is_ready, ps2.next_byte_is_aux, ps2.wheel_movement],
    sb16 === undefined ? null : [peekQueue(sb16.write_buffer), peekQueue(sb16.read_buffer)],
    [cpu.fw_pointer, cpu.io.port_read8(PORT_A20)],
    acpi === undefined
      ? null
      : [
          relativeTo(-frozen.monotonicMs, frozen.acpiOffsetMs, 'monotonic'),
          acpi.timer_last_value,
          acpi.timer_imprecision_offset,
          acpi.last_timer,
        ],
    balloon === undefined ? null : [balloon.fp_cmd],
  ];
  return extras as StateValue[];
}

/** Puts it back, after v86's own functions, which clear some of it. Returns the offset of ACPI's timer. */
export function applyExtras(cpu: V86Cpu, values: StateValue[], monotonicMs: number): number {
  // Safe: checkExtras went through it.
  const [serial, keyboard, mouse, ps2State, sound, machine, acpiState, balloonState] = values as Extras;
  const { ps2, sb16, acpi, virtio_balloon: balloon } = cpu.devices;
  for (const [index, uart] of uartsOf(cpu).entries()) if (uart) uart.input = [...(serial[index] ?? [])];
  fillQueue(ps2.kbd_buffer, keyboard);
  fillQueue(ps2.mouse_buffer, mouse);
  [ps2.next_byte_is_ready, ps2.next_byte_is_aux, ps2.wheel_movement] = ps2State;
  if (sb16 !== undefined && sound !== null) {
    fillQueue(sb16.write_buffer, sound[0]);
    fillQueue(sb16.read_buffer, sound[1]);
  }
  cpu.fw_pointer = machine[0];
  cpu.io.port_write8(PORT_A20, machine[1]);
  if (balloon !== undefined && balloonState !== null) balloon.fp_cmd = balloonState[0];
  if (acpi === undefined || acpiState === null) return 0;
  acpi.timer_last_value = acpiState[1];
  acpi.timer_imprecision_offset = acpiState[2];
  acpi.last_timer = acpiState[3];
  return acpiState[0] - monotonicMs;
}

/** Why these are not the extras of this machine, or undefined when they are. */
export function checkExtras(cpu: V86Cpu, value: StateValue): string | undefined {
  const { sb16, acpi, virtio_balloon } = cpu.devices;
  if (!Array.isArray(value) || value.length !== 8) return 'extras';
  const [serial, keyboard, mouse, ps2, sound, machine, timer, balloon] = value;
  const uarts = uartsOf(cpu);
  if (!Array.isArray(serial) || serial.length !== uarts.length) return 'extras.serial';
  for (const [index, uart] of uarts.entries()) {
    if (uart === undefined ? serial[index] !== null : !isQueue(serial[index]))
      return `extras.serial.${index}`;
  }
  if (!isQueue(keyboard) || !isQueue(mouse)) return 'extras.keys';
  if (!areLike(ps2, [false, false, 0])) return 'extras.ps2';
  if (sb16 === undefined) {
    if (sound !== null) return 'extras.sound';
  } else if (!Array.isArray(sound) || sound.length !== 2 || !sound.every(isQueue)) return 'extras.sound';
  if (!areLike(machine, [0, 0])) return 'extras.machine';
  const timerGood = acpi === undefined ? timer === null : areLike(timer, [0, 0, 0, 0]);
  if (!timerGood) return 'extras.acpi';
  const balloonGood = virtio_balloon === undefined ? balloon === null : areLike(balloon, [0]);
  return balloonGood ? undefined : 'extras.balloon';
}

function uartsOf({ devices }: V86Cpu) {
  return [devices.uart0, devices.uart1, devices.uart2, devices.uart3];
}

function isQueue(value: StateValue): boolean {
  return value instanceof Uint8Array && value.length <= MAX_QUEUE_BYTES;
}

function areLike(value: StateValue, pattern: readonly (number | boolean)[]): boolean {
  return (
    Array.isArray(value) &&
    value.length === pattern.length &&
    pattern.every((one, i) => typeof value[i] === typeof one && !Number.isNaN(value[i]))
  );
}

/** v86's queue shows its bytes only by giving them away. */
function peekQueue(queue: V86ByteQueue): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(queue.length);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = queue.shift();
    queue.push(bytes[i]!);
  }
  return bytes;
}

function fillQueue(queue: V86ByteQueue, bytes: Uint8Array): void {
  queue.clear();
  for (const byte of bytes) queue.push(byte);
}
