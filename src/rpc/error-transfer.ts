// Errors across a Comlink channel. Comlink keeps name, message and stack alone; codes and data are our API, so its
// `throw` handler is replaced on both ends.

import { transferHandlers } from 'comlink';
import { type ErrorCode, type ErrorData, isErrorCode, VitrineError } from '../base/error.ts';

/** A thrown value as plain data. Causes nest. */
interface ThrownRecord {
  readonly kind: 'vitrine' | 'error' | 'value';
  readonly name?: string;
  readonly message?: string;
  readonly stack?: string;
  readonly code?: ErrorCode;
  readonly data?: ErrorData;
  readonly value?: unknown;
  readonly cause?: ThrownRecord;
}

const MAX_CAUSES = 8;
let installed = false;

/** Makes thrown VitrineErrors keep code, data and cause. Each end calls it once; more calls do nothing. */
export function installErrorTransfer(): void {
  if (installed) return;
  installed = true;
  const throwHandler = transferHandlers.get('throw');
  if (throwHandler === undefined) throw new VitrineError('internal', { missing: 'comlink throw handler' });
  transferHandlers.set('throw', {
    canHandle: throwHandler.canHandle,
    serialize: (thrown) => [recordOf((thrown as { value: unknown }).value, 0), []],
    deserialize: (record) => {
      throw thrownFrom(record as ThrownRecord);
    },
  });
}

function recordOf(value: unknown, depth: number): ThrownRecord {
  if (!(value instanceof Error)) return { kind: 'value', value: String(value) };
  const cause =
    value.cause === undefined || depth >= MAX_CAUSES ? undefined : recordOf(value.cause, depth + 1);
  const common = {
    name: value.name,
    message: value.message,
    ...(value.stack === undefined ? {} : { stack: value.stack }),
    ...(cause === undefined ? {} : { cause }),
  };
  if (value instanceof VitrineError)
    return { kind: 'vitrine', code: value.code, data: value.data, ...common };
  return { kind: 'error', ...common };
}

function thrownFrom(record: ThrownRecord): unknown {
  if (record.kind === 'value') return new Error(String(record.value));
  const options = record.cause === undefined ? {} : { cause: thrownFrom(record.cause) };
  const error =
    // A worker of a later release may have codes that are unknown here: those arrive as plain errors.
    record.kind === 'vitrine' && record.code !== undefined && isErrorCode(record.code)
      ? new VitrineError(record.code, record.data ?? {}, options)
      : new Error(record.message ?? '', options);
  if (record.name !== undefined) error.name = record.name;
  if (record.stack !== undefined) error.stack = record.stack;
  return error;
}
