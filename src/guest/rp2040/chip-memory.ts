// A chip's memory in arrays of ours, and every writer of it told of. In rp2040js 1.4.1 all stores of the core and of the DMA
// engine pass `writeUint8/16/32`; besides these
//
//   - the USB controller writes its own RAM through `usbDPRAM.set` and `usbDPRAMView.setUint32`,
//   - `reset` fills flash, and `loadBootrom` the ROM.
//
// Nothing else writes them (looked for in the whole package; `test/guest/rp2040` holds it against a run of each).

import type { RP2040 } from 'rp2040js';
import { VitrineError } from '../../base/error.ts';
import { KIB, MIB } from '../../base/limits.ts';
import type { CooperatingRegion } from '../cooperating.ts';
import type { WriteListener } from '../write-watch.ts';

const SRAM_ADDRESS = 0x2000_0000;
const FLASH_ADDRESS = 0x1000_0000;
const USB_ADDRESS = 0x5010_0000;
const SRAM_BYTES = 264 * KIB;
const USB_BYTES = 4 * KIB;
const BOOTROM_BYTES = 16 * KIB;
/** What a Raspberry Pi Pico has; the emulator's own 16 MiB are the most that the chip can address. */
const FLASH_BYTES = 2 * MIB;
const MAX_FLASH_BYTES = 16 * MIB;
/** Small pages: a program of this size changes a few hundred bytes between two looks. */
const PAGE_BYTES = 1 * KIB;

export interface ChipMemoryOptions {
  /** A multiple of 4 KiB up to 16 MiB; 2 MiB when left out, as a Pico has. */
  readonly flashBytes?: number;
  /**
   * `shared` lets other workers read the memory while the chip runs, `auto` does so where the platform allows it; `auto`
   * when left out.
   */
  readonly memory?: 'auto' | 'shared' | 'private';
}

/** The fields that the package declares as constants, and that its own code reads anew each time. */
interface Arrays {
  sram: Uint8Array;
  sramView: DataView;
  flash: Uint8Array;
  flash16: Uint16Array;
  flashView: DataView;
  usbDPRAM: Uint8Array;
  usbDPRAMView: DataView;
  bootrom: Uint32Array;
}

export class ChipMemory {
  readonly sram: Uint8Array;
  readonly flash: Uint8Array;
  readonly usb: Uint8Array;
  readonly bootrom: Uint8Array;
  readonly #listeners: {
    sram: WriteListener;
    flash: WriteListener;
    usb: WriteListener;
    bootrom: WriteListener;
  };

  /**
   * Gives a new chip these arrays, and puts itself before its writers.
   *
   * Throws `argument-invalid`, and `unsupported` where shared memory is asked for and not to be had.
   */
  constructor(chip: RP2040, options: ChipMemoryOptions) {
    const { flashBytes = FLASH_BYTES } = options;
    if (!(flashBytes > 0 && flashBytes <= MAX_FLASH_BYTES && flashBytes % (4 * KIB) === 0)) {
      throw new VitrineError('argument-invalid', { name: 'flashBytes', value: flashBytes });
    }
    const allocate = allocatorOf(options.memory ?? 'auto');
    this.sram = allocate(SRAM_BYTES);
    this.flash = allocate(flashBytes);
    this.usb = allocate(USB_BYTES);
    this.bootrom = allocate(BOOTROM_BYTES);
    const quiet = (): void => {};
    this.#listeners = { sram: quiet, flash: quiet, usb: quiet, bootrom: quiet };
    this.#give(chip);
    this.#hearStores(chip);
    this.#hearUsb(chip);
    this.#hearResets(chip);
  }

  /** As regions of a guest. */
  get regions(): CooperatingRegion[] {
    return [
      { name: 'sram', bytes: this.sram, guestAddress: SRAM_ADDRESS, pageBytes: PAGE_BYTES },
      { name: 'flash', bytes: this.flash, guestAddress: FLASH_ADDRESS },
      { name: 'usb', bytes: this.usb, guestAddress: USB_ADDRESS, kind: 'device', pageBytes: PAGE_BYTES },
      { name: 'bootrom', bytes: this.bootrom, guestAddress: 0, kind: 'other' },
    ];
  }

  /** From here on each write is told before it is made. */
  listen(listenerOf: (region: string) => WriteListener): void {
    for (const name of ['sram', 'flash', 'usb', 'bootrom'] as const) this.#listeners[name] = listenerOf(name);
  }

  #give(chip: RP2040): void {
    const arrays: Arrays = {
      sram: this.sram,
      sramView: new DataView(this.sram.buffer),
      flash: this.flash.fill(0xff),
      flash16: new Uint16Array(this.flash.buffer),
      flashView: new DataView(this.flash.buffer),
      usbDPRAM: this.usb,
      usbDPRAMView: new DataView(this.usb.buffer),
      bootrom: new Uint32Array(this.bootrom.buffer),
    };
    Object.assign(chip, arrays);
  }

  #hearStores(chip: RP2040): void {
    const { writeUint8, writeUint16, writeUint32 } = chip;
    chip.writeUint8 = (address, value) => {
      this.#tell(address, 1);
      writeUint8.call(chip, address, value);
    };
    chip.writeUint16 = (address, value) => {
      this.#tell(address, 2);
      writeUint16.call(chip, address, value);
    };
    chip.writeUint32 = (address, value) => {
      this.#tell(address, 4);
      writeUint32.call(chip, address, value);
    };
  }

  /** Tells of a store. Those to the USB's RAM come by its view; those to devices write no region. */
  #tell(address: number, lengthBytes: number): void {
    const at = (address - SRAM_ADDRESS) >>> 0;
    if (at < SRAM_BYTES) this.#listeners.sram(at, lengthBytes);
    else if ((address - FLASH_ADDRESS) >>> 0 < this.flash.length) {
      this.#listeners.flash((address - FLASH_ADDRESS) >>> 0, lengthBytes);
    } else if (address >>> 0 < BOOTROM_BYTES) this.#listeners.bootrom(address >>> 0, lengthBytes);
  }

  /** The arrays' own methods, on these instances alone. */
  #hearUsb(chip: RP2040): void {
    const { usb } = this;
    const hear = (
      target: object,
      method: string,
      told: (...args: unknown[]) => readonly [number, number],
    ) => {
      const original: unknown = Reflect.get(target, method);
      const heard = (...args: unknown[]): unknown => {
        this.#listeners.usb(...told(...args));
        return Reflect.apply(original as () => unknown, target, args);
      };
      Object.defineProperty(target, method, { value: heard });
    };
    hear(usb, 'set', (source, offset = 0) => [offset as number, (source as ArrayLike<number>).length]);
    hear(usb, 'fill', () => [0, usb.length]);
    for (const [method, lengthBytes] of [
      ['setUint8', 1],
      ['setUint16', 2],
      ['setUint32', 4],
    ] as const) {
      hear(chip.usbDPRAMView, method, (offset) => [offset as number, lengthBytes]);
    }
  }

  #hearResets(chip: RP2040): void {
    const { reset, loadBootrom } = chip;
    chip.reset = () => {
      this.#listeners.flash(0, this.flash.length);
      reset.call(chip);
    };
    chip.loadBootrom = (data) => {
      this.#listeners.bootrom(0, BOOTROM_BYTES);
      loadBootrom.call(chip, data);
    };
  }
}

function allocatorOf(memory: 'auto' | 'shared' | 'private'): (lengthBytes: number) => Uint8Array {
  const canShare = typeof SharedArrayBuffer !== 'undefined';
  if (memory === 'shared' && !canShare) throw new VitrineError('unsupported', { missing: 'shared memory' });
  if (memory === 'private' || !canShare) return (lengthBytes) => new Uint8Array(lengthBytes);
  return (lengthBytes) => new Uint8Array(new SharedArrayBuffer(lengthBytes));
}
