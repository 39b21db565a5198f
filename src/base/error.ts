// The one error class of Vitrine and the closed table of its codes.
//
// A code is API: callers and tests match codes, never messages. To add one, add a row to each of the two tables here
// (meaning and remedy in plain words) and throw it; codes are never reused for something else.

/** What each code means; the message of an error starts with it. */
const MEANINGS = {
  // Arguments and state
  'argument-invalid': 'An argument is out of its range.',
  'wrong-state': 'The call came at a time it cannot be served.',
  'not-found': 'Nothing is known by that name.',
  'name-ambiguous': 'More than one thing starts with that name.',
  aborted: 'The work was cancelled; nothing of it was kept.',
  busy: 'It is in use, or has such work under way already.',
  unsupported: 'This guest, store or platform cannot do that.',

  // Format: thrown by decoders and nothing else is
  'format-magic': 'The bytes do not start as this kind of record does.',
  'format-version': 'The record was written by another version.',
  'format-truncated': 'The bytes end before the record does.',
  'format-checksum': 'The bytes are not those that were written.',
  'format-range': 'A field holds a value that the format does not allow.',
  'format-limit': 'A field claims more than the limits allow.',
  'format-tag': 'A tag is unknown to this version.',
  'stream-feature': 'The migration stream uses a feature that is not read.',

  // Codecs and kernels
  'codec-unknown': 'No codec has that id.',
  'codec-damaged': 'A codec could not decode its bytes.',
  'kernel-unavailable': 'The WebAssembly kernels could not be loaded.',
  'memory-exhausted': 'Not enough memory for the work.',

  // Stores
  'store-io': 'The store failed to read or write.',
  'store-full': 'There is no room left.',
  'store-closed': 'The store was closed, by us or by the platform.',
  'store-conflict': 'A ref was moved by someone else first.',
  'store-object-too-large': 'An object is larger than the store takes.',
  'store-key-invalid': 'A key has a form that no store takes.',
  'object-missing': 'An object that a snapshot needs is not in the store.',
  'object-damaged': 'An object does not match its digest.',

  // Guests
  'guest-mismatch': 'The snapshot belongs to a machine of another shape.',
  'guest-state-invalid': 'The guest refused the device state.',
  'guest-not-quiescent': 'The guest has code on its stack now.',
  'guest-failed': 'The guest itself failed.',
  'guest-closed': 'The guest was closed.',
  'guest-start': 'The process of the guest did not start.',
  'guest-lost': 'The process of the guest is gone.',
  'guest-timeout': 'The guest did not answer in time.',
  'replay-diverged': 'The guest did something else than was recorded.',
  'disk-missing': 'A file that a disk stands on is not there.',
  'disk-changed': 'A file that a disk of the snapshot stands on was written since.',
  'span-out-of-range': 'The range lies outside the guest memory.',

  // Rewind
  'rewind-full': 'The history has no room for that within its budget.',

  // Workers, and files of a build
  'worker-lost': 'The worker that served the call is gone.',
  'worker-start': 'The worker did not start.',
  'part-unavailable': 'A part of Vitrine could not be loaded.',

  // Bridge
  'permission-denied': 'The session may not do that.',
  'connection-lost': 'The connection to the bridge is gone.',
  overloaded: 'The host has as much work as it takes.',
  'remote-failed': 'The host failed in a way that this release has no code for.',
  internal: 'Vitrine broke one of its own rules.',
} as const satisfies Record<string, string>;

/** What a user can do about it. Apart, so that a page pays for it only where it shows them. */
const REMEDIES = {
  // Arguments and state
  'argument-invalid': 'See the data for the name and range.',
  'wrong-state': 'Bring it to the required state first.',
  'not-found': 'List what there is and choose one.',
  'name-ambiguous': 'Give more characters.',
  aborted: 'Start it again when wanted.',
  busy: 'Wait for it to end.',
  unsupported: 'See the data for what is missing.',

  // Format: thrown by decoders and nothing else is
  'format-magic': 'Check that it is the right file.',
  'format-version': 'Use a release that reads it.',
  'format-truncated': 'Fetch the whole file again.',
  'format-checksum': 'Restore them from another copy.',
  'format-range': 'The file is damaged.',
  'format-limit': 'Raise the limit if the file is trusted.',
  'format-tag': 'Use a release that knows it.',
  'stream-feature': 'Switch the named capability off and save again.',

  // Codecs and kernels
  'codec-unknown': 'Use a release that knows it.',
  'codec-damaged': 'Restore them from another copy.',
  'kernel-unavailable': 'See the cause.',
  'memory-exhausted': 'Close other guests or use a smaller one.',

  // Stores
  'store-io': 'See the cause; nothing committed was lost.',
  'store-full': 'Delete snapshots and collect, or free space.',
  'store-closed': 'Open it again.',
  'store-conflict': 'Read it again and retry.',
  'store-object-too-large': 'See its traits.',
  'store-key-invalid': 'Keys are lower-case path segments.',
  'object-missing': 'Copy it from another store.',
  'object-damaged': 'Copy it from another store.',

  // Guests
  'guest-mismatch': 'See the data for the field.',
  'guest-state-invalid': 'The guest goes on as it was.',
  'guest-not-quiescent': 'Try at a point where it waits.',
  'guest-failed': 'See the cause.',
  'guest-closed': 'Open another.',
  'guest-start': 'See what it said in the data.',
  'guest-lost': 'Open it again and restore a snapshot.',
  'guest-timeout': 'Open it again and restore a snapshot.',
  'replay-diverged': 'See the data for where; replay from the snapshot at which recording began.',
  'disk-missing': 'Put the named file back where it was.',
  'disk-changed': 'Put the file back as it was, with its time.',
  'span-out-of-range': 'See the data for the regions.',

  // Rewind
  'rewind-full': 'Forget a bookmark, or raise the budget.',

  // Workers, and files of a build
  'worker-lost': 'Open the guest again from a snapshot.',
  'worker-start': 'See the cause; check the worker file is served.',
  'part-unavailable': 'Check that all files of the build are served, then reload.',

  // Bridge
  'permission-denied': 'Ask the operator for the permission in the data.',
  'connection-lost': 'Connect again; while the bridge runs its jobs go on, and are found by their id.',
  overloaded: 'Try again after the time in the data.',
  'remote-failed': 'See the data; use a release that knows the code.',
  internal: 'Please report it with the cause.',
} as const satisfies Record<ErrorCode, string>;

/** Every code with what it means and what a user can do about it. */
export const ERRORS = /* @__PURE__ */ tableOf(MEANINGS, REMEDIES);

/** A stable, kebab-case error code. */
export type ErrorCode = keyof typeof MEANINGS;

/** Plain values that travel with an error: they survive structured clone and JSON. */
export type ErrorData = Readonly<
  Record<string, string | number | boolean | null | readonly (string | number)[]>
>;

/**
 * An operating failure, with a stable code.
 *
 * `data` says what, where and which numbers; `cause` keeps the platform's own error. A programmer's mistake is
 * an `assert` instead.
 */
export class VitrineError extends Error {
  readonly code: ErrorCode;
  readonly data: ErrorData;

  constructor(code: ErrorCode, data: ErrorData = {}, options: { readonly cause?: unknown } = {}) {
    super(describe(code, data), options);
    this.name = 'VitrineError';
    this.code = code;
    this.data = data;
  }
}

/** Whether `error` is a VitrineError, optionally with that code. */
export function isVitrineError(error: unknown, code?: ErrorCode): error is VitrineError {
  return error instanceof VitrineError && (code === undefined || error.code === code);
}

/** Whether a string from elsewhere is a code of this release. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(MEANINGS, code);
}

function tableOf(
  meanings: Readonly<Record<ErrorCode, string>>,
  remedies: Readonly<Record<ErrorCode, string>>,
): Readonly<Record<ErrorCode, { readonly meaning: string; readonly remedy: string }>> {
  const codes = Object.keys(meanings) as ErrorCode[];
  // Safe: one entry for each code.
  return Object.fromEntries(
    codes.map((code) => [code, { meaning: meanings[code], remedy: remedies[code] }]),
  ) as Record<ErrorCode, { meaning: string; remedy: string }>;
}

function describe(code: ErrorCode, data: ErrorData): string {
  const fields = Object.entries(data).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  const detail = fields.length === 0 ? '' : ` (${fields.join(', ')})`;
  return `${code}: ${MEANINGS[code]}${detail}`;
}
