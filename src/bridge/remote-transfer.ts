// Both ends of a transfer from the client's side: the client receives what a host sends, or sends what a host receives.

import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { SendOptions, SnapshotReceiver, TransferReport } from '../engine/transfer.ts';
import type { BridgeConnection } from './bridge-connection.ts';
import { BytePipe } from './byte-pipe.ts';
import { answerSender, remoteReceiver } from './transfer-stream.ts';

/** Has a host send a snapshot to `receiver`. */
export async function pullSnapshot(
  connection: BridgeConnection,
  snapshot: string,
  receiver: SnapshotReceiver,
  { effort, signal, onProgress }: SendOptions,
): Promise<TransferReport> {
  const [messages, answers] = [new BytePipe(), new BytePipe()];
  const pulling = connection.call(
    'pull',
    { snapshot, ...(effort === undefined ? {} : { effort }) },
    {
      onBytes: (bytes) => messages.write(bytes),
      input: answers,
      ...(signal === undefined ? {} : { signal }),
      ...(onProgress === undefined ? {} : { onProgress }),
    },
  );
  const answering = answerSender(receiver, messages, (bytes) => answers.write(bytes));
  return settleBoth(pulling, answering, [messages, answers]);
}

/** Runs `work` with a receiver that is a host's. */
export async function pushSnapshot<Result>(
  connection: BridgeConnection,
  machine: string,
  work: (receiver: SnapshotReceiver) => Promise<Result>,
): Promise<Result> {
  const [messages, answers] = [new BytePipe(), new BytePipe()];
  const pushing = connection.call(
    'push',
    { machine },
    { onBytes: (bytes: OwnedBytes) => answers.write(bytes), input: messages },
  );
  const sending = work(remoteReceiver((bytes) => messages.write(bytes), answers));
  return settleBoth(sending, pushing, [messages, answers]);
}

/**
 * What `wanted` gives when both have succeeded. When one fails the pipes are broken, so that the other one ends; the first
 * failure is thrown, since the other is its echo.
 */
async function settleBoth<Wanted>(
  wanted: Promise<Wanted>,
  other: Promise<unknown>,
  pipes: readonly BytePipe[],
): Promise<Wanted> {
  let first: { readonly reason: unknown } | null = null;
  const fail = (reason: unknown): never => {
    first ??= { reason };
    for (const pipe of pipes) pipe.break(reason);
    throw new VitrineError('aborted', {}, { cause: reason });
  };
  const finish = <T>(value: T): T => {
    for (const pipe of pipes) pipe.end();
    return value;
  };
  const [outcome] = await Promise.allSettled([wanted.then(finish, fail), other.then(finish, fail)]);
  // Safe to widen: the closures above set it, which control flow analysis does not see.
  const failure = first as { readonly reason: unknown } | null;
  if (failure !== null) throw failure.reason;
  if (outcome.status === 'rejected') throw outcome.reason;
  return outcome.value;
}
