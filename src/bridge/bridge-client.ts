// A bridge from outside: the engine of a host, its machines, its jobs. The same verbs as an engine at hand, each a promise
// that always settles. What is under way when the connection is lost fails with `connection-lost`, except jobs: those are
// found again at the next connection, and their callers notice nothing but the time.

import { concatBytes, type OwnedBytes } from '../base/bytes.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import { throwIfAborted, type WorkOptions } from '../base/work.ts';
import type { CollectReport } from '../engine/collect.ts';
import type { DiffReport } from '../engine/diff.ts';
import type { SnapshotId, SnapshotInfo } from '../engine/snapshot.ts';
import type { SendOptions, SnapshotReceiver, TransferReport } from '../engine/transfer.ts';
import { decodeManifest, type Manifest } from '../format/manifest.ts';
import type { HelloResponse, ItemOf, RequestOf, ResponseOf } from './bridge-connection.ts';
import { BridgeLink, type LinkOptions, type LinkState, type OpenChannel } from './bridge-link.ts';
import { checkBody, type Schema } from './control-body.ts';
import type { BridgeRange } from './fields.ts';
import type { DisksReport, RunRequest } from './host.ts';
import type { JobInfo } from './job-info.ts';
import type { JobId } from './jobs.ts';
import { gatherRanges } from './range-gatherer.ts';
import { RemoteGuest } from './remote-guest.ts';
import { pullSnapshot, pushSnapshot } from './remote-transfer.ts';
import { VERBS, type VerbName } from './verb-table.ts';
import { openWebSocketChannel, type WebSocketConstructor } from './web-socket-channel.ts';

export interface ConnectOptions extends LinkOptions {
  /** The global one when left out. */
  readonly WebSocket?: WebSocketConstructor;
  /** Fetches a ticket before each connection, for clients that cannot send headers. */
  readonly ticket?: () => Promise<string>;
  /** A token of the host, in place of tickets, where `WebSocket` is that of the package `ws`. */
  readonly token?: string;
}

/** Verbs that are jobs. */
export type JobVerb = {
  [Name in VerbName]: ResponseOf<Name> extends { readonly job: string } ? Name : never;
}[VerbName];

/** What a job may be told beside its parameters. */
export interface JobOptions extends WorkOptions {
  /** The id to find it by; made here when left out. */
  readonly job?: JobId;
}

export type MachineInfo = ItemOf<'list'>;
/** Rings of one kind of a guest's doorbell, by the newest of them. */
export type BellInfo = ItemOf<'bells'>;
export type VerifySummary = ResponseOf<'verify'>['report'];

/**
 * Connects to a bridge: at a WebSocket's address (`ws:`, `wss:`), or by any channel.
 *
 * Throws `argument-invalid`, `connection-lost` when there is nobody, `unsupported` when the other end speaks something else, `permission-denied`.
 *
 * @example
 * const bridge = await connectBridge('ws://127.0.0.1:7070/bridge', { ticket });
 * const [report] = await bridge.machine('web').peek([{ address: 0x1000, lengthBytes: 64 }]);
 */
export async function connectBridge(
  target: string | OpenChannel,
  options: ConnectOptions = {},
): Promise<BridgeClient> {
  if (typeof target !== 'string') return new BridgeClient(await BridgeLink.connect(target, options));
  const { WebSocket, ticket, token } = options;
  if (ticket !== undefined && typeof ticket !== 'function') {
    throw new VitrineError('argument-invalid', {
      name: 'ticket',
      wants: 'a function: each is good for one connection',
    });
  }
  const open = async () =>
    openWebSocketChannel(target, {
      ...(WebSocket === undefined ? {} : { WebSocket }),
      ...(token === undefined ? {} : { token }),
      ...(ticket === undefined ? {} : { ticket: await ticket() }),
    });
  return new BridgeClient(await BridgeLink.connect(open, options));
}

export class BridgeClient {
  readonly link: BridgeLink;

  constructor(link: BridgeLink) {
    this.link = link;
  }

  /** What the host said of itself at the newest connection. */
  get host(): HelloResponse {
    return this.link.hello;
  }

  get state(): LinkState {
    return this.link.state;
  }

  /** Hears of every change of state: to be shown. Returns how to stop. */
  onState(listener: (state: LinkState) => void): () => void {
    return this.link.onState(listener);
  }

  /** The machines that this session may observe. */
  async machines(): Promise<MachineInfo[]> {
    return (await this.link.connection.collect('list', {})).items;
  }

  /** One machine, by name; whether there is one its verbs say. */
  machine(name: string): RemoteGuest {
    return new RemoteGuest(name, this);
  }

  async log(options: { readonly machine?: string } = {}): Promise<SnapshotInfo[]> {
    return (await this.link.connection.collect('log', options)).items;
  }

  async show(snapshot: SnapshotId): Promise<SnapshotInfo & { readonly manifest: Manifest }> {
    const parts: OwnedBytes[] = [];
    const onBytes = (bytes: OwnedBytes): void => void parts.push(bytes);
    const answer = await this.link.connection.call('show', { snapshot }, { onBytes });
    return { ...answer.snapshot, manifest: decodeManifest(concatBytes(parts)) };
  }

  async head(machine: string): Promise<SnapshotId | null> {
    return (await this.link.connection.call('status', { machine })).head;
  }

  /** Ranges of a snapshot. */
  async peek(snapshot: SnapshotId, ranges: readonly BridgeRange[]): Promise<OwnedBytes[]> {
    return (await gatherRanges(this.link.connection, { snapshot }, ranges)).bytes;
  }

  diff(a: SnapshotId, b: SnapshotId): Promise<DiffReport> {
    return this.diffOf({ a, b });
  }

  /** As `diff`, of anything that the verb takes. */
  async diffOf(request: RequestOf<'diff'>): Promise<DiffReport> {
    const { response, items } = await this.link.connection.collect('diff', request);
    return {
      devices: response.devices,
      regions: response.regions.map((region, index) => ({
        ...region,
        runs: items.filter((run) => run.region === index).map(({ first, count }) => ({ first, count })),
      })),
    };
  }

  async verify(snapshot: SnapshotId, options: JobOptions = {}): Promise<VerifySummary> {
    return (await this.runJob('verify', { snapshot }, options)).report;
  }

  async delete(snapshots: readonly SnapshotId[]): Promise<void> {
    await this.link.connection.call('deleteSnapshots', { snapshots: [...snapshots] });
  }

  async collect(options: JobOptions = {}): Promise<CollectReport & Partial<DisksReport>> {
    return (await this.runJob('collect', {}, options)).report;
  }

  async fork(snapshot: SnapshotId, name: string, options: JobOptions = {}): Promise<RemoteGuest> {
    await this.runJob('fork', { snapshot, name }, options);
    return this.machine(name);
  }

  async run({ arguments: given, ...request }: RunRequest, options: JobOptions = {}): Promise<RemoteGuest> {
    const { name, profile, memoryBytes, freePages, doorbell } = request;
    await this.runJob(
      'run',
      {
        name,
        ...(profile === undefined ? {} : { profile }),
        ...(memoryBytes === undefined ? {} : { memoryBytes }),
        ...(freePages === undefined ? {} : { freePages }),
        ...(doorbell === undefined ? {} : { doorbell: [...doorbell] }),
        ...(given === undefined ? {} : { arguments: [...given] }),
      },
      options,
    );
    return this.machine(name);
  }

  async attach(name: string, socket: string, options: JobOptions = {}): Promise<RemoteGuest> {
    await this.runJob('attach', { name, socket }, options);
    return this.machine(name);
  }

  /** Has the host send a snapshot to `receiver`, of its objects what that one lacks. See `sync`. */
  send(snapshot: SnapshotId, receiver: SnapshotReceiver, options: SendOptions = {}): Promise<TransferReport> {
    return pullSnapshot(this.link.connection, snapshot, receiver, options);
  }

  /** Runs `work` with a receiver that is the host's, for one snapshot of that machine. See `sync`. */
  receive<Result>(machine: string, work: (receiver: SnapshotReceiver) => Promise<Result>): Promise<Result> {
    return pushSnapshot(this.link.connection, machine, work);
  }

  /** What is under way on the host, and what ended lately. */
  async jobs(): Promise<JobInfo[]> {
    return (await this.link.connection.collect('jobs', {})).items;
  }

  /** Waits for a job's end, over lost connections too. Throws what it failed with. Aborting ends the waiting, not the job. */
  async followJob(job: JobId, options: WorkOptions = {}): Promise<unknown> {
    const { report } = await this.#overLosses(job, options, (connection) =>
      connection.call('followJob', { job }, options),
    );
    return report;
  }

  async cancelJob(job: JobId): Promise<JobInfo> {
    return this.link.connection.call('cancelJob', { job });
  }

  /**
   * A verb that is a job, over lost connections: the request is made again with the same id, which finds the job.
   *
   * Throws what the job throws, `aborted`, and `connection-lost` with the id when the host was started anew meanwhile or
   * cannot be reached any more.
   */
  async runJob<Name extends JobVerb>(
    name: Name,
    params: Omit<RequestOf<Name>, 'job'>,
    { job = newJobId(), ...options }: JobOptions = {},
  ): Promise<ResponseOf<Name>> {
    // Safe: every job's parameters have its id.
    const request = { ...params, job } as unknown as RequestOf<Name>;
    return this.#overLosses(
      job,
      options,
      async (connection) => connection.call(name, request, options),
      true,
    );
  }

  /** What guests asked for by their doorbells lately, oldest first: of one machine, or of all that the session may observe. */
  async bells({ machine }: { readonly machine?: string } = {}): Promise<BellInfo[]> {
    const of = machine === undefined ? {} : { machine };
    return (await this.link.connection.collect('bells', { ...of, follow: false })).items;
  }

  /**
   * Hears of such rings, the last ones first and then each as it comes, until `signal` aborts.
   *
   * Throws `aborted` then, `connection-lost`, and what the listener throws.
   */
  async followBells(
    onBell: (bell: BellInfo) => void | Promise<void>,
    { machine, signal }: { readonly machine?: string } & Pick<WorkOptions, 'signal'> = {},
  ): Promise<void> {
    const onItems = async (bells: readonly unknown[]): Promise<void> => {
      // Safe: checked by the verb's own schema.
      for (const bell of bells) await onBell(bell as BellInfo);
    };
    const of = machine === undefined ? {} : { machine };
    const options = { onItems, ...(signal === undefined ? {} : { signal }) };
    await this.link.connection.call('bells', { ...of, follow: true }, options);
  }

  /** Closes the connection; jobs go on. */
  close(): void {
    this.link.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #overLosses<Result>(
    job: JobId,
    { signal }: WorkOptions,
    request: (connection: Awaited<ReturnType<BridgeLink['nextConnection']>>) => Promise<Result>,
    cancels = false,
  ): Promise<Result> {
    const { instance } = this.link.hello;
    let connection = this.link.connection;
    for (;;) {
      try {
        return await request(connection);
      } catch (error) {
        if (connection.isOpen || !isVitrineError(error, 'connection-lost')) throw error;
      }
      connection = await untilAborted(this.link.nextConnection(), signal, () => {
        if (cancels) this.#cancelLater(job);
      });
      if (this.link.hello.instance !== instance) {
        throw new VitrineError('connection-lost', { job, reason: 'the host was started anew' });
      }
    }
  }

  /** Given up while there is no connection: the host hears of it at the next one. */
  #cancelLater(job: JobId): void {
    void this.link
      .nextConnection()
      .then((connection) => connection.call('cancelJob', { job }))
      .catch(() => {});
  }
}

/** An id that nobody else makes. */
export function newJobId(): JobId {
  return crypto.randomUUID().replaceAll('-', '');
}

/** Checks the report of a job that was followed against its verb. Throws `format-range`. */
export function checkReport<Name extends JobVerb>(name: Name, job: JobId, report: unknown): ResponseOf<Name> {
  // Safe: as in the verbs' table.
  return checkBody({ job, report }, VERBS[name].response as unknown as Schema, 'job') as ResponseOf<Name>;
}

async function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  onAbort: () => void,
): Promise<T> {
  throwIfAborted(signal);
  if (signal === undefined) return work;
  let stop: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      onAbort();
      reject(new VitrineError('aborted', {}, { cause: signal.reason }));
    };
  });
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
