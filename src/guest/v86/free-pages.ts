// Free pages of a v86 machine, by its memory balloon: the device has a command with which the host asks, and a queue on which
// the kernel's driver hands over free blocks, holds them, and says that it is done. v86 zeroes the blocks it gets; here they
// are noted instead, and the guest's memory stays as it is.
//
//   ask ─▶ next slice: command = a new number, interrupt ─▶ driver: blocks … ─▶ command 0 ─▶ v86: command = 1, interrupt
//                                                                                             driver gives the blocks back
//
// v86 zeroes whatever address the guest names, asked or not, RAM or not, so a hostile guest could write zeros into the
// emulator itself. What the balloon zeroes is taken away from it for good.
//
// A driver that is stopped in the middle holds its blocks for as long as the command says so. So the command is saved with the
// devices, and a command that nobody waits for is ended when the machine runs.

import type { FreePageRequest, FreeSpanListener } from '../free-pages.ts';
import type { V86Cpu } from './v86-internals.ts';

/** The driver gives back what it holds. Numbers above ask. */
const COMMAND_DONE = 1;
const DRIVER_OK = 4;

/** The memory balloon; looked at when it is there. */
export interface V86Balloon {
  /** What the host last asked: 1 is done, anything above asks for free pages. */
  fp_cmd: number;
  free_cb: (() => void) | undefined;
  readonly virtio: { cpu: unknown; readonly device_status: number; notify_config_changes(): void };
}

export class V86FreePages {
  readonly #balloon: V86Balloon;
  readonly #cpu: V86Cpu;
  readonly #wake: () => void;
  /** The driver ignores the number of its last answer; snapshots of another session hold other numbers. */
  #nextCommand = 2 + (Date.now() & 0x0fff_ffff);
  #tell: FreeSpanListener | undefined;
  #answered: (() => void) | undefined;
  #isUnsaid = false;

  private constructor(balloon: V86Balloon, cpu: V86Cpu, wake: () => void) {
    this.#balloon = balloon;
    this.#cpu = cpu;
    this.#wake = wake;
    const zero_memory = (address: number, sizeBytes: number) =>
      this.#tell?.({ region: 0, offsetBytes: address >>> 0, lengthBytes: sizeBytes >>> 0 });
    balloon.virtio.cpu = Object.create(cpu, { zero_memory: { value: zero_memory } });
  }

  /** Of a machine with a balloon of the known shape. `wake` makes a slice begin soon. */
  static of(cpu: V86Cpu, wake: () => void): V86FreePages | undefined {
    const balloon = cpu.devices.virtio_balloon;
    const isKnown =
      typeof balloon?.fp_cmd === 'number' &&
      typeof balloon.virtio?.notify_config_changes === 'function' &&
      typeof balloon.virtio.device_status === 'number' &&
      balloon.virtio.cpu === cpu;
    return isKnown ? new V86FreePages(balloon, cpu, wake) : undefined;
  }

  /** Asks when the machine runs again. Without a driver there is no answer to wait for. */
  ask(tell: FreeSpanListener): FreePageRequest {
    this.#end();
    if ((this.#balloon.virtio.device_status & DRIVER_OK) === 0) {
      return { done: Promise.resolve(), end: () => {} };
    }
    this.#tell = tell;
    this.#isUnsaid = true;
    const done = new Promise<void>((resolve) => {
      this.#answered = resolve;
    });
    return {
      done,
      end: () => {
        if (this.#tell === tell) this.#end();
      },
    };
  }

  /** A slice begins: the driver hears what has changed for it. */
  onSlice(): void {
    const balloon = this.#balloon;
    if (this.#isUnsaid) {
      this.#isUnsaid = false;
      balloon.free_cb = () => this.#end();
      balloon.fp_cmd = this.#nextCommand++;
      balloon.virtio.notify_config_changes();
    } else if (this.#tell === undefined && balloon.fp_cmd > COMMAND_DONE) {
      balloon.fp_cmd = COMMAND_DONE;
      balloon.virtio.notify_config_changes();
    }
  }

  /** Gives the balloon its processor back. */
  remove(): void {
    this.#end();
    this.#balloon.virtio.cpu = this.#cpu;
  }

  #end(): void {
    this.#tell = undefined;
    this.#isUnsaid = false;
    this.#balloon.free_cb = undefined;
    this.#answered?.();
    this.#answered = undefined;
    if (this.#balloon.fp_cmd > COMMAND_DONE) this.#wake();
  }
}
