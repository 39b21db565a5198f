// What a verb is: its id on the wire, what it takes and answers, what it asks for, and how a host does it. One file each in
// `verbs/`; PROTOCOL.md, section 5, is their table.

import type { InferOutput } from 'valibot';
import type { OwnedBytes } from '../base/bytes.ts';
import type { Progress, WorkOptions } from '../base/work.ts';
import type { SnapshotId, SnapshotInfo } from '../engine/snapshot.ts';
import type { Schema } from './control-body.ts';
import type { Grant, Permission } from './grant.ts';
import type { BridgeHost, HostMachine } from './host.ts';
import type { Job, JobId } from './jobs.ts';

/** What streams beside a request and its answer. */
export interface VerbStreams {
  /** From the host: bytes, or items of a schema in frames of CBOR lists. */
  readonly down: 'none' | 'bytes' | 'items';
  readonly up: 'none' | 'bytes';
}

/** Memory that a call may use until it gives it back. */
export interface Borrowed {
  /** Arrays of so many bytes together as were borrowed; they hold anything. */
  readonly allocate: (lengthBytes: number) => OwnedBytes;
  /** May be called again. */
  readonly release: () => void;
}

/** What runs on a host for one request. It is how a verb gets at anything: nothing is handed out unasked-for. */
export interface Call {
  readonly host: BridgeHost;
  readonly grant: Grant;
  /** Aborts when the client cancels, or is gone. */
  readonly signal: AbortSignal;
  /** Throws `permission-denied` unless the session has the verb's permission, or the one named, for a machine or the host. */
  require(machine: string | null, permission?: Permission): void;
  /** As `require`, and the answer instead of an error: for lists that leave out what is not the session's to see. */
  allows(machine: string | null, permission?: Permission): boolean;
  /** A machine of the host, permitted. Throws `permission-denied`, `not-found`. */
  machine(name: string, permission?: Permission): HostMachine;
  /**
   * A snapshot of a machine that is permitted; which permission it takes may depend on the machine. Throws `not-found`, also
   * for what the session may not even observe, `name-ambiguous`, `permission-denied`.
   */
  snapshot(idOrPrefix: SnapshotId, permission?: (machine: string) => Permission): Promise<SnapshotInfo>;
  progress(progress: Progress): void;
  /** Streams bytes, in frames, as the client grants credit. They are the channel's from now on. */
  sendBytes(bytes: OwnedBytes): Promise<void>;
  /** Streams items. */
  sendItems(items: readonly unknown[]): Promise<void>;
  /** What the client streams; credit is granted as it is read. */
  readonly input: AsyncIterable<OwnedBytes>;
  /**
   * Work that goes on when the client is gone: found again by its id. Cancelling the call cancels it.
   *
   * Throws what the work throws, `overloaded`.
   */
  job<Result>(
    request: { readonly job?: JobId | undefined; readonly machine: string | null },
    work: (options: WorkOptions) => Promise<Result>,
  ): Promise<{ readonly job: JobId; readonly result: Result }>;
  /** Waits for a job's end, telling of its progress. Throws what its work threw. */
  follow<Result>(job: Job): Promise<{ readonly job: JobId; readonly result: Result }>;
  /**
   * Waits until the session may hold so many bytes more in memory; a call that needs more than it may hold has it alone.
   * Returns how to give them back.
   */
  reserve(bytes: number): Promise<() => void>;
  /** As `reserve`, with the memory itself. What was sent of it may be on its way still when it is given back. */
  borrow(bytes: number): Promise<Borrowed>;
  /** Notes for the audit log: names and ranges, never contents. */
  note(detail: Readonly<Record<string, unknown>>): void;
}

export interface Verb<
  Request extends Schema = Schema,
  Response extends Schema = Schema,
  Item extends Schema = Schema,
> {
  /** On the wire; append-only, 0 is invalid. */
  readonly id: number;
  readonly name: string;
  readonly request: Request;
  readonly response: Response;
  /** Where `streams.down` is `items`. */
  readonly item?: Item;
  readonly permission: Permission;
  readonly streams: VerbStreams;
  /** Whether it changes a machine or a store: such calls are never made twice by themselves. */
  readonly effect: 'none' | 'machine' | 'store' | 'host';
  /** Whether it is a job: then it takes a `job` and survives its connection. */
  readonly isJob: boolean;
  run(call: Call, request: InferOutput<Request>): Promise<InferOutput<Response>>;
}

/** A verb, its types inferred. */
export function defineVerb<Request extends Schema, Response extends Schema, Item extends Schema = Schema>(
  verb: Omit<Verb<Request, Response, Item>, 'streams' | 'isJob'> & Partial<Pick<Verb, 'streams' | 'isJob'>>,
): Verb<Request, Response, Item> {
  return { streams: { down: 'none', up: 'none' }, isJob: false, ...verb };
}
