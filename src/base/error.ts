// The one error class of Vitrine and the closed table of its codes.
//
// A code is API: callers and tests match codes, never messages. To add one, add a row here (meaning and
// remedy in plain words) and throw it; ids are never reused for something else.

/** Every code with what it means and what a user can do about it. */
export const ERRORS = {
  // Arguments and state
  'argument-invalid': {
    meaning: 'An argument is out of its range.',
    remedy: 'See the data for the name and range.',
  },
  'wrong-state': {
    meaning: 'The call came at a time it cannot be served.',
    remedy: 'Bring it to the required state first.',
  },
  'not-found': { meaning: 'Nothing is known by that name.', remedy: 'List what there is and choose one.' },
  'name-ambiguous': {
    meaning: 'More than one thing starts with that name.',
    remedy: 'Give more characters.',
  },
  aborted: {
    meaning: 'The work was cancelled; nothing of it was kept.',
    remedy: 'Start it again when wanted.',
  },
  busy: { meaning: 'The same guest already has such work under way.', remedy: 'Wait for it to end.' },
  unsupported: {
    meaning: 'This guest, store or platform cannot do that.',
    remedy: 'See the data for what is missing.',
  },

  // Format: thrown by decoders and nothing else is
  'format-magic': {
    meaning: 'The bytes do not start as this kind of record does.',
    remedy: 'Check that it is the right file.',
  },
  'format-version': {
    meaning: 'The record was written by another version.',
    remedy: 'Use a release that reads it.',
  },
  'format-truncated': {
    meaning: 'The bytes end before the record does.',
    remedy: 'Fetch the whole file again.',
  },
  'format-checksum': {
    meaning: 'The bytes are not those that were written.',
    remedy: 'Restore them from another copy.',
  },
  'format-range': {
    meaning: 'A field holds a value that the format does not allow.',
    remedy: 'The file is damaged.',
  },
  'format-limit': {
    meaning: 'A field claims more than the limits allow.',
    remedy: 'Raise the limit if the file is trusted.',
  },
  'format-tag': { meaning: 'A tag is unknown to this version.', remedy: 'Use a release that knows it.' },

  // Codecs and kernels
  'codec-unknown': { meaning: 'No codec has that id.', remedy: 'Use a release that knows it.' },
  'codec-damaged': {
    meaning: 'A codec could not decode its bytes.',
    remedy: 'Restore them from another copy.',
  },
  'kernel-unavailable': { meaning: 'The WebAssembly kernels could not be loaded.', remedy: 'See the cause.' },
  'memory-exhausted': {
    meaning: 'Not enough memory for the work.',
    remedy: 'Close other guests or use a smaller one.',
  },

  // Stores
  'store-io': {
    meaning: 'The store failed to read or write.',
    remedy: 'See the cause; nothing committed was lost.',
  },
  'store-full': { meaning: 'There is no room left.', remedy: 'Delete snapshots and collect, or free space.' },
  'store-closed': { meaning: 'The store was closed, by us or by the platform.', remedy: 'Open it again.' },
  'store-conflict': { meaning: 'A ref was moved by someone else first.', remedy: 'Read it again and retry.' },
  'store-object-too-large': {
    meaning: 'An object is larger than the store takes.',
    remedy: 'See its traits.',
  },
  'store-key-invalid': {
    meaning: 'A key has a form that no store takes.',
    remedy: 'Keys are lower-case path segments.',
  },
  'object-missing': {
    meaning: 'An object that a snapshot needs is not in the store.',
    remedy: 'Copy it from another store.',
  },
  'object-damaged': {
    meaning: 'An object does not match its digest.',
    remedy: 'Copy it from another store.',
  },

  // Guests
  'guest-mismatch': {
    meaning: 'The snapshot belongs to a machine of another shape.',
    remedy: 'See the data for the field.',
  },
  'guest-state-invalid': {
    meaning: 'The guest refused the device state.',
    remedy: 'The guest goes on as it was.',
  },
  'guest-not-quiescent': {
    meaning: 'The guest has code on its stack now.',
    remedy: 'Try at a point where it waits.',
  },
  'guest-failed': { meaning: 'The guest itself failed.', remedy: 'See the cause.' },
  'guest-closed': { meaning: 'The guest was closed.', remedy: 'Open another.' },
  'replay-diverged': {
    meaning: 'The guest did something else than was recorded.',
    remedy: 'See the data for where; replay from the snapshot at which recording began.',
  },
  'span-out-of-range': {
    meaning: 'The range lies outside the guest memory.',
    remedy: 'See the data for the regions.',
  },

  // Rewind
  'rewind-full': {
    meaning: 'The history has no room for that within its budget.',
    remedy: 'Forget a bookmark, or raise the budget.',
  },

  // Workers
  'worker-lost': {
    meaning: 'The worker that served the call is gone.',
    remedy: 'Open the guest again from a snapshot.',
  },
  'worker-start': {
    meaning: 'The worker did not start.',
    remedy: 'See the cause; check the worker file is served.',
  },
  internal: { meaning: 'Vitrine broke one of its own rules.', remedy: 'Please report it with the cause.' },
} as const satisfies Record<string, { readonly meaning: string; readonly remedy: string }>;

/** A stable, kebab-case error code. */
export type ErrorCode = keyof typeof ERRORS;

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

function describe(code: ErrorCode, data: ErrorData): string {
  const fields = Object.entries(data).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  const detail = fields.length === 0 ? '' : ` (${fields.join(', ')})`;
  return `${code}: ${ERRORS[code].meaning}${detail}`;
}
