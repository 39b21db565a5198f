// Errors on the wire: code, data and causes of a VitrineError. Of anything else a host says only that it failed: messages
// of a platform hold paths and names that are not the client's to know.

import * as v from 'valibot';
import type { OwnedBytes } from '../base/bytes.ts';
import { type ErrorData, isErrorCode, VitrineError } from '../base/error.ts';
import { BRIDGE_LIMITS } from './bridge-limits.ts';
import { decodeBody, encodeBody } from './control-body.ts';

const MAX_TEXT = 1024;
const MAX_LIST = 32;

const TEXT = v.pipe(v.string(), v.maxLength(MAX_TEXT));
const NAME = v.pipe(v.string(), v.maxLength(64));
const VALUE = v.union([
  TEXT,
  v.number(),
  v.boolean(),
  v.null(),
  v.pipe(v.array(v.union([TEXT, v.number()])), v.maxLength(MAX_LIST)),
]);
/** The error itself, then its cause, then the cause of that. */
export const ERROR_BODY = v.pipe(
  v.array(v.strictObject({ code: NAME, data: v.record(NAME, VALUE) })),
  v.minLength(1),
  v.maxLength(BRIDGE_LIMITS.maxErrorCauses),
);

export type ErrorBody = v.InferOutput<typeof ERROR_BODY>;

/** The body of an error frame that tells of what was thrown. */
export function encodeError(thrown: unknown): OwnedBytes {
  const chain = errorBodyOf(thrown);
  const bytes = encodeBody(chain);
  return bytes.length <= BRIDGE_LIMITS.errorFrameBytes
    ? bytes
    : encodeBody([{ code: chain[0]!.code, data: {} }]);
}

/** What is told of `thrown`. */
export function errorBodyOf(thrown: unknown): ErrorBody {
  const chain: ErrorBody = [];
  let at = thrown;
  while (at instanceof VitrineError && chain.length < BRIDGE_LIMITS.maxErrorCauses) {
    chain.push({ code: at.code, data: tellableData(at.data) });
    at = at.cause;
  }
  return chain.length === 0 ? [{ code: 'internal', data: {} }] : chain;
}

/** The error that a body tells of. Throws `format-range`. */
export function decodeError(bytes: OwnedBytes): VitrineError {
  return errorFrom(decodeBody(bytes, ERROR_BODY, 'error'));
}

/** As `decodeError`, of a body that was read already. A code of a later release arrives as `remote-failed`. */
export function errorFrom(body: ErrorBody): VitrineError {
  const [first, ...causes] = body;
  const options = causes.length === 0 ? {} : { cause: errorFrom(causes) };
  // Safe: a body has one entry at least.
  const { code, data } = first!;
  if (isErrorCode(code)) return new VitrineError(code, data, options);
  return new VitrineError('remote-failed', { ...data, code }, options);
}

/** Data cut to what the body holds: an error must arrive, whatever it tells. */
function tellableData(data: ErrorData): Record<string, ErrorBody[number]['data'][string]> {
  return Object.fromEntries(
    Object.entries(data).map(([name, value]) => [
      name.slice(0, 64),
      Array.isArray(value) ? value.slice(0, MAX_LIST).map(tellable) : tellable(value as Single),
    ]),
  ) as Record<string, ErrorBody[number]['data'][string]>;
}

type Single = string | number | boolean | null;

function tellable(value: Single): Single {
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  return typeof value === 'string' ? value.slice(0, MAX_TEXT) : value;
}
