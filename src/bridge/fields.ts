// Fields that the bodies of many verbs share, as schemas. Requests are strict, so that a misspelt option is refused; answers
// may hold fields that a later release added.

import * as v from 'valibot';
import { LIMITS } from '../base/limits.ts';
import { BELL_ANSWERS, BELL_ASKS } from './bell-book.ts';
import { BRIDGE_LIMITS } from './bridge-limits.ts';
import { ERROR_BODY } from './error-body.ts';
import { JOB_STATES } from './jobs.ts';

export const COUNT = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const LENGTH = v.pipe(COUNT, v.minValue(1));
export const MS = v.pipe(v.number(), v.minValue(0));

/** As `MACHINE_NAME_PATTERN` of the engine. */
export const MACHINE_NAME = v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9._-]{0,63}$/));
/** An id, or its first digits. */
export const SNAPSHOT = v.pipe(v.string(), v.regex(/^[0-9a-f]{1,64}$/));
export const SNAPSHOT_ID = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
export const JOB_ID = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/));
/** Of a store; the store itself says which it takes. */
export const STORE_KEY = v.pipe(v.string(), v.maxLength(1024));
export const LABEL = v.pipe(v.string(), v.maxBytes(LIMITS.maxLabelBytes));
export const REGION_NAME = v.pipe(v.string(), v.minLength(1), v.maxBytes(LIMITS.maxNameBytes));

/** Up to 64 bits; as text where JavaScript's numbers end. */
const VIRTUAL_ADDRESS = v.union([COUNT, v.pipe(v.string(), v.regex(/^0x[0-9a-f]{1,16}$/))]);

/** Bytes of a guest, by guest physical address, by the offset in a region, or by virtual address. */
export const RANGE = v.union([
  v.strictObject({ address: COUNT, lengthBytes: LENGTH }),
  v.strictObject({ region: REGION_NAME, offsetBytes: COUNT, lengthBytes: LENGTH }),
  v.strictObject({ virtualAddress: VIRTUAL_ADDRESS, lengthBytes: LENGTH }),
]);
export const RANGES = v.pipe(v.array(RANGE), v.minLength(1), v.maxLength(BRIDGE_LIMITS.maxPeekRanges));

export type BridgeRange = v.InferOutput<typeof RANGE>;

export const PROGRESS = v.object({
  phase: v.picklist(['pause', 'encode', 'write', 'commit', 'plan', 'read', 'apply', 'collect', 'verify']),
  done: COUNT,
  total: COUNT,
  unit: v.picklist(['bytes', 'pages', 'objects']),
});

export const STATISTICS = v.object({
  pagesScanned: COUNT,
  pagesChanged: COUNT,
  objectsNew: COUNT,
  bytesWritten: COUNT,
  pauseMs: MS,
});

export const SNAPSHOT_INFO = v.object({
  id: SNAPSHOT_ID,
  parent: v.nullable(SNAPSHOT_ID),
  machine: v.string(),
  kind: v.string(),
  label: v.string(),
  createdAtMs: COUNT,
  statistics: STATISTICS,
  memoryBytes: COUNT,
});

export const RESTORE_REPORT = v.object({
  pauseMs: MS,
  totalMs: MS,
  pagesPlanned: COUNT,
  pagesWritten: COUNT,
});

export const JOB_INFO = v.object({
  id: JOB_ID,
  verb: v.string(),
  machine: v.nullable(v.string()),
  state: v.picklist(JOB_STATES),
  startedAtMs: COUNT,
  progress: v.nullable(PROGRESS),
  error: v.nullable(ERROR_BODY),
});

/** As `BellEvent`. */
export const BELL_EVENT = v.object({
  machine: MACHINE_NAME,
  asked: v.nullable(v.picklist(BELL_ASKS)),
  answer: v.picklist(BELL_ANSWERS),
  code: v.nullable(v.string()),
  snapshot: v.nullable(SNAPSHOT_ID),
  count: LENGTH,
  atMs: COUNT,
  tookMs: MS,
});

/** An answer without content. */
export const NOTHING = v.object({});
