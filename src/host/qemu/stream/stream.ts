// What a migration stream says, apart from how it says it.

import type { OwnedBytes } from '../../../base/bytes.ts';

/** One block of memory: RAM, a ROM, video memory. */
export interface RamBlock {
  /** The id of its memory backend, or QEMU's own name: `pc.ram`, `pc.bios`. */
  readonly name: string;
  /** Bytes in use, a multiple of 4,096. */
  readonly usedBytes: number;
  /** Its place in its parent region; in streams with `x-ignore-shared`, and in no others. */
  readonly gpa?: number;
}

/** The state of one device. */
export interface DeviceSection {
  readonly name: string;
  readonly instanceId: number;
  readonly versionId: number;
  readonly body: OwnedBytes;
  /** It comes before RAM, and has to be loaded before it. */
  readonly early: boolean;
}

export interface ParsedStream {
  readonly version: number;
  /** The versioned name of the machine type; undefined in what `xen-save-devices-state` writes. */
  readonly machineType: string | undefined;
  /** Those that reader and writer have to have in common. */
  readonly capabilities: readonly string[];
  /** Every block in the stream's order, also those whose pages were left out. */
  readonly blocks: readonly RamBlock[];
  readonly sections: readonly DeviceSection[];
  /** QEMU's own description of the device sections, as its JSON says; undefined where there is none. */
  readonly vmdesc: unknown;
  /** Pages told, those that came again counted again. */
  readonly pageCount: number;
}

/**
 * A page: `block` counts blocks in the stream's order, `offset` is in bytes. A number is the byte that fills the page; an array
 * has 4,096 bytes and is valid until the listener returns. A live stream tells a page more than once: the last one counts.
 */
export type PageListener = (block: number, offset: number, content: Uint8Array | number) => void;

/** A page to write, or the byte that fills it. */
export interface StreamPage {
  readonly block: number;
  readonly offset: number;
  readonly bytes: Uint8Array | number;
}
