// Bodies of control frames: CBOR (RFC 8949) in its core deterministic form, checked against a schema before anyone sees
// it. Values are null, booleans, finite numbers, texts, byte strings, lists, and maps with texts as keys; nothing else.

import { decode, encode } from 'cborg';
import { type BaseIssue, type BaseSchema, type InferOutput, safeParse } from 'valibot';
import { copyBytes, type OwnedBytes } from '../base/bytes.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';

/** What a body is checked against. */
export type Schema<Output = unknown> = BaseSchema<unknown, Output, BaseIssue<unknown>>;

const DECODE_OPTIONS = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
} as const;

/** The bytes of a value; properties that are undefined are left out. */
export function encodeBody(value: unknown): OwnedBytes {
  // Safe: cborg allocates its result itself.
  return encode(value, { ignoreUndefinedProperties: true }) as OwnedBytes;
}

/**
 * The value that bytes hold. Byte strings in it are copies.
 *
 * Total: for bytes that are not such a body it throws `format-range`, with the first field that is wrong, and nothing else.
 */
export function decodeBody<Shape extends Schema>(
  bytes: OwnedBytes,
  schema: Shape,
  record: string,
): InferOutput<Shape> {
  return checkBody(decodeUnchecked(bytes, record), schema, record);
}

/** A value that is known to be one of the schema. Throws `format-range`. */
export function checkBody<Shape extends Schema>(
  value: unknown,
  schema: Shape,
  record: string,
): InferOutput<Shape> {
  const outcome = safeParse(schema, value, { abortEarly: true });
  if (outcome.success) return outcome.output;
  const issue = outcome.issues[0];
  const field = issue.path?.map(({ key }) => String(key)).join('.') ?? '';
  throw new VitrineError('format-range', {
    record,
    field: field.slice(0, 200),
    expected: (issue.expected ?? issue.type).slice(0, 200),
    received: issue.received.slice(0, 100),
  });
}

function decodeUnchecked(bytes: OwnedBytes, record: string): unknown {
  try {
    return ownValue(decode(bytes, DECODE_OPTIONS));
  } catch (cause) {
    if (isVitrineError(cause)) throw cause;
    throw new VitrineError('format-range', { record, field: 'cbor' }, { cause });
  }
}

/** Byte strings may lie in the message they came with, which is far longer. */
function ownValue(value: unknown): unknown {
  if (value instanceof Uint8Array) return copyBytes(value);
  if (Array.isArray(value)) return value.map(ownValue);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, ownValue(inner)]));
}
