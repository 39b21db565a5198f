// The bytes of a QEMU migration stream, version 3, as QEMU 7.2 and 10.0 write them. All integers are big-endian.
//
//   stream   magic "QEVM", u32 version 3, [configuration], section*, 0x00, [0x06 u32 length, JSON]
//   start    0x01 or 0x04 (full), u32 id, u8 n, name[n], u32 instance, u32 version, body, footer
//   part     0x02 or 0x03 (end), u32 id, body, footer
//   command  0x08, u16 command, u16 length, data
//   footer   0x7e, u32 id
//
// The body of a device's section has no length: README.md says how it is found.

export const MAGIC = 0x5145_564d;
export const VERSION = 3;

/** First bytes of what follows the header. */
export const SECTION = {
  eof: 0x00,
  start: 0x01,
  part: 0x02,
  end: 0x03,
  full: 0x04,
  subsection: 0x05,
  vmdesc: 0x06,
  configuration: 0x07,
  command: 0x08,
  footer: 0x7e,
} as const;

/** Flags in the low twelve bits of a record of the RAM section. */
export const RAM = {
  full: 0x01,
  zero: 0x02,
  blockList: 0x04,
  page: 0x08,
  eos: 0x10,
  /** Of the same block as the page before: no name follows. */
  sameBlock: 0x20,
  xbzrle: 0x40,
  hook: 0x80,
  compress: 0x100,
  multifdFlush: 0x200,
} as const;

/** The one iterable section that is read, its version, and the id that a synthesized one has. */
export const RAM_SECTION = { name: 'ram', version: 4, id: 2 } as const;

/** Commands, with the length that their data must have. */
export const COMMANDS = new Map<number, { readonly name: string; readonly lengths?: readonly number[] }>([
  [1, { name: 'open-return-path', lengths: [0] }],
  [2, { name: 'ping', lengths: [4] }],
  [3, { name: 'postcopy-advise', lengths: [0, 16] }],
  [4, { name: 'postcopy-listen', lengths: [0] }],
  [5, { name: 'postcopy-run', lengths: [0] }],
  [6, { name: 'postcopy-ram-discard' }],
  [7, { name: 'packaged', lengths: [4] }],
  [8, { name: 'enable-colo' }],
  [9, { name: 'postcopy-resume', lengths: [0] }],
  [10, { name: 'receive-bitmap' }],
  // Written by machines of 10.0 and later right before the end of RAM.
  [11, { name: 'switchover-start', lengths: [0] }],
]);

/** Commands that change nothing for a reader. */
export const PASSIVE_COMMANDS: ReadonlySet<string> = new Set([
  'open-return-path',
  'ping',
  'switchover-start',
]);

/** The page of an x86 target, whatever the pages that back it. */
export const PAGE_BYTES = 4096;

/** RAM that the target maps by itself is left out; its blocks are listed with their guest address. */
export const IGNORE_SHARED = 'x-ignore-shared';

/** Every bound of a reader of streams. */
export const STREAM_LIMITS = {
  /** A machine has a handful; hot-plugged memory makes 256 more, and each PCI device a ROM. */
  maxBlocks: 1024,
  maxCapabilities: 64,
  /** Of a machine's name; QEMU's longest is about thirty bytes. */
  maxMachineTypeBytes: 255,
  maxSections: 4096,
  /** All device sections together: about 100 KiB are usual, each virtio queue adds some, video adds none. */
  maxDeviceBytes: 64 * 1024 * 1024,
  /** The description at the end: about 100 KiB are usual. */
  maxVmdescBytes: 16 * 1024 * 1024,
  /** Subsections within subsections of a description; QEMU has four. */
  maxVmdescDepth: 32,
} as const;
