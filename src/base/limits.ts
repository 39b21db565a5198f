// Every bound in one place. A decoder checks these before it allocates; a queue, a chain or a frame stops here.

/** One kibibyte and one mebibyte, in bytes. */
export const KIB = 1024;
export const MIB = 1024 * 1024;

export const LIMITS = {
  /** Page sizes, powers of two: 256 B for the smallest guests to 64 KiB, the size of a frame. */
  minPageBytes: 256,
  maxPageBytes: 64 * KIB,
  /** Page size where the guest has no reason for another one. */
  defaultPageBytes: 4 * KIB,
  /** Children of one table node: 512 digests of 32 bytes are 16 KiB, four of the usual pages. */
  tableFanout: 512,
  /** Plain bytes of one frame: LZ4 of single 4 KiB pages ran at 148 MB/s, of 64 KiB groups at 542. */
  frameBytes: 64 * KIB,
  /** XOR-deltas that have to be undone one after another to get at one object. */
  maxDeltaDepth: 8,
  /** Bytes of one pack: IndexedDB took 4 KiB records at 67 MB/s and 1–4 MiB ones at 290. */
  packBytes: 4 * MIB - 64 * KIB,
  /** Regions and device records of one machine. */
  maxRegions: 256,
  maxDeviceRecords: 4096,
  /** Bytes of names and labels in UTF-8. */
  maxNameBytes: 255,
  maxLabelBytes: 1024,
  /** Entries of a machine's configuration, and UTF-8 bytes of one text: Linux takes command lines of 2,048. */
  maxConfigEntries: 1024,
  maxConfigTextBytes: 4096,
  /** Bytes of one manifest. */
  maxManifestBytes: 4 * MIB,
  /** Points of one rewind history: 200 seconds at ten a second before thinning starts, and a way that is read in a second. */
  maxRewindPoints: 2048,
  /** Points of one recorded past of a host's machine: all are looked through at each new one, and written down in one ref. */
  maxRecordedPoints: 512,
  /** Bytes of one region or device record: 2^53 - 1 is what JavaScript counts exactly; 2^48 is enough. */
  maxTableBytes: 2 ** 48,
} as const;
