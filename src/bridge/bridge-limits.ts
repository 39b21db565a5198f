// Every bound of the protocol in one place, with the reason for its number. A decoder checks these before it allocates.

import { KIB, MIB } from '../base/limits.ts';

export const BRIDGE_LIMITS = {
  /** Body of a data frame: 16 MiB in 32 of them, and no buffer of either end is longer. */
  dataFrameBytes: 512 * KIB,
  /** Body of a request or of its answer: what is longer goes as a stream. */
  controlFrameBytes: 64 * KIB,
  /** Body of an error: code, data and a few causes. */
  errorFrameBytes: 16 * KIB,
  progressFrameBytes: KIB,
  /** Causes that travel with an error. */
  maxErrorCauses: 4,
  /** Credit that one stream may have outstanding: what its receiver must be able to take at once. */
  maxCreditBytes: 8 * MIB,
  /** Credit that a host grants of itself for what is streamed up: two round trips of 10 ms at 200 MB/s. */
  windowBytes: 4 * MIB,
  /** As much of a client for what is streamed down, which is its own memory: on one host 4 MiB are less than the sockets hold. */
  clientWindowBytes: 8 * MIB,
  /** Taken bytes are granted again in steps of so many: on one host a grant costs a client as much as reading half a mebibyte. */
  creditStepBytes: 2 * MIB,
  /** Most memory for a peek that a session uses again for the next one. */
  scratchBytes: 16 * MIB,
  /** Bytes that wait in a channel before a session holds its streams back. */
  highWaterBytes: 4 * MIB,
  /** Requests of one session under way at a time. */
  maxRequests: 64,
  /** Requests a second that one session may make for long, and at once, where its host says nothing else. */
  requestsPerSecond: 200,
  requestBurst: 400,
  /** Ranges of one peek: as spans they are all checked before the guest rests. */
  maxPeekRanges: 1024,
  /** A peek up to this length is copied while the guest rests; longer ones are read from its tracker's mirror after it. */
  peekCopyBytes: 64 * MIB,
  /** Bytes of one poke. */
  maxPokeBytes: 16 * KIB,
  /** Largest object that a bridge carries into a store: packs have 4 MiB. */
  maxStoreObjectBytes: 64 * MIB,
  /** Items of a stream of items that go into one frame. */
  maxItemsPerFrame: 256,
  /** Jobs on a host: under way at a time, waiting, and ended ones that can be asked for. */
  maxRunningJobs: 2,
  maxQueuedJobs: 8,
  maxEndedJobs: 256,
  /** Damaged objects that a report names; it counts them all. */
  maxReportedDamage: 100,
  /** Bytes of a serial console that wait for one reader before its oldest are dropped. */
  consoleBacklogBytes: 256 * KIB,
  /** Kinds of rings that wait for one reader before the oldest are dropped: saves alone are more than one kind, one a second each. */
  maxWaitingBells: 256,
} as const;
