// The engine's worker from outside: what a page or an emulator calls. The same verbs as the engine itself, each a
// promise that always settles.

import { proxy, type Remote, transfer } from 'comlink';
import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { WorkOptions } from '../base/work.ts';
import type { CollectReport } from '../engine/collect.ts';
import type { DiffReport } from '../engine/diff.ts';
import type { ServeDoorbellOptions, ServedDoorbell } from '../engine/doorbell.ts';
import type { PeekRange } from '../engine/peek.ts';
import type { RestoreReport } from '../engine/restore.ts';
import type { SaveOptions, SaveReport } from '../engine/save.ts';
import type { SnapshotId, SnapshotInfo } from '../engine/snapshot.ts';
import type { SendOptions, SnapshotReceiver, TransferReport } from '../engine/transfer.ts';
import type { VerifyReport } from '../engine/verify.ts';
import type { ReplayVerdict, VerifyReplayOptions } from '../engine/verify-replay.ts';
import type { Vitrine } from '../engine/vitrine.ts';
import type { DoorbellRequest } from '../guest/doorbell.ts';
import type {
  CheckpointReport,
  PeekedBytes,
  PeekOptions,
  ResetReport,
  Tracker,
} from '../tracking/tracker.ts';
import type { EngineHost, EngineInfo, ProgressListener, StoreSpec } from './engine-host.ts';
import type { GuestClient } from './guest-client.ts';
import type { GuestOffer } from './guest-port.ts';
import { type CallRewind, RewindClient } from './rewind-client.ts';
import { type SupervisedWorker, supervise } from './supervision.ts';
import { exposeTracker } from './tracker-port.ts';

/**
 * Starts an engine in `worker`, which runs `workers/engine.ts`, over a store.
 *
 * Throws `worker-start` when the worker cannot be loaded, and what opening the store throws.
 */
export async function startEngine(worker: Worker, store: StoreSpec): Promise<EngineClient> {
  const supervised = await supervise<EngineHost>(worker);
  try {
    return new EngineClient(supervised, await supervised.api.open(store), store);
  } catch (error) {
    supervised.terminate();
    throw error;
  }
}

/** A guest in shared memory, of another worker. */
export interface GuestAtPort {
  readonly port: MessagePort;
  readonly offer: GuestOffer;
  /** What is served at the port: the guest itself, which the engine tracks, or its tracker. */
  readonly track: 'engine' | 'guest';
}

export class EngineClient {
  readonly info: EngineInfo;
  readonly #worker: SupervisedWorker<EngineHost>;
  readonly #api: Remote<EngineHost>;
  readonly #store: StoreSpec;
  #closed = false;

  constructor(worker: SupervisedWorker<EngineHost>, info: EngineInfo, store: StoreSpec) {
    this.#store = store;
    this.#worker = worker;
    this.#api = worker.api;
    this.info = info;
  }

  /** Resolves when the engine's worker is gone; everything saved before is in the store. */
  get lost(): Promise<VitrineError> {
    return this.#worker.lost;
  }

  /**
   * Takes a machine: a tracker of this thread, a port at which another worker serves one, or a guest in shared memory that
   * it serves, which the engine's worker then tracks or at least reads itself.
   *
   * Throws `argument-invalid` for a name no store takes, `busy` when one of that name is there.
   */
  async adopt(name: string, tracker: Tracker | MessagePort | GuestAtPort): Promise<MachineClient> {
    let port: MessagePort;
    let offer: GuestOffer | null = null;
    let track: GuestAtPort['track'] = 'guest';
    if (tracker instanceof MessagePort) {
      port = tracker;
    } else if ('offer' in tracker) {
      ({ port, offer, track } = tracker);
    } else {
      const channel = new MessageChannel();
      await tracker.reset();
      exposeTracker(tracker, channel.port1);
      void this.lost.then(() => tracker.reset()).catch(() => {});
      port = channel.port2;
    }
    await this.#api.adopt(name, transfer(port, [port]), offer, track);
    const run: RunJob = (options, call) => this.#run(options, call);
    return new MachineClient(name, this.#api, run, this.#store);
  }

  log(options: { readonly machine?: string } = {}): Promise<SnapshotInfo[]> {
    return this.#api.log(options.machine ?? null);
  }

  show(snapshot: SnapshotId): ReturnType<Vitrine['show']> {
    return this.#api.show(snapshot) as ReturnType<Vitrine['show']>;
  }

  head(machine: string): Promise<SnapshotId | null> {
    return this.#api.head(machine);
  }

  peek(snapshot: SnapshotId, ranges: readonly PeekRange[]): Promise<OwnedBytes[]> {
    return this.#api.peek(snapshot, ranges);
  }

  diff(a: SnapshotId, b: SnapshotId): Promise<DiffReport> {
    return this.#api.diff(a, b);
  }

  delete(snapshots: readonly SnapshotId[]): Promise<void> {
    return this.#api.delete(snapshots);
  }

  collect(options: WorkOptions = {}): Promise<CollectReport> {
    return this.#run(options, (job, listener) => this.#api.collect(job, listener));
  }

  verify(snapshot: SnapshotId, options: WorkOptions = {}): Promise<VerifyReport> {
    return this.#run(options, (job, listener) => this.#api.verify(snapshot, job, listener));
  }

  /**
   * Restores a snapshot twice into a spare guest that does the same again, runs on, and compares all that it holds. The guest
   * is in a worker of its own (`startGuest`), nobody else uses it, and it is the caller's to close.
   *
   * Throws what `Vitrine.verifyByReplay` throws, and `worker-lost`.
   */
  async verifyByReplay(
    snapshot: SnapshotId,
    guest: Pick<GuestClient, 'serveReplay' | 'lost'>,
    options: VerifyReplayOptions = {},
  ): Promise<ReplayVerdict> {
    const port = await guest.serveReplay();
    const steps = options.steps ?? null;
    return this.#run(options, async (job) => {
      let lost: VitrineError | undefined;
      void guest.lost.then((reason) => {
        lost = reason;
        return this.#api.abort(job);
      });
      try {
        return await this.#api.verifyByReplay(snapshot, transfer(port, [port]), steps, job);
      } catch (error) {
        throw lost ?? error;
      }
    });
  }

  /**
   * Sends a snapshot to another engine, a bridge or a file. As `Vitrine.send`; the receiver is called in this thread.
   *
   * Throws what `Vitrine.send` throws, and `worker-lost`.
   */
  send(
    snapshot: SnapshotId,
    receiver: SnapshotReceiver,
    { effort, ...options }: SendOptions = {},
  ): Promise<TransferReport> {
    const here = proxy({
      known: (ids: readonly SnapshotId[]) => receiver.known(ids),
      missing: (digests: OwnedBytes) => receiver.missing(digests),
      putPack: (pack: OwnedBytes) => receiver.putPack(pack),
      // What it gives may be anything, and the sender has no use for it.
      finish: async (manifest: OwnedBytes) => void (await receiver.finish(manifest)),
    });
    return this.#run(options, (job, listener) =>
      this.#api.send(snapshot, here, effort ?? 'fast', job, listener),
    );
  }

  /** Runs `work` with a receiver: the form that a bridge has too, for `sync`. */
  receive<Result>(_machine: string, work: (receiver: SnapshotReceiver) => Promise<Result>): Promise<Result> {
    return work(this.receiver());
  }

  /** What another engine, or a bridge, sends a snapshot to. As `Vitrine.receiver`. */
  receiver(): SnapshotReceiver<SnapshotInfo> {
    return {
      known: (ids) => this.#api.receive('known', ids) as Promise<readonly SnapshotId[]>,
      missing: (digests) => this.#api.receive('missing', digests) as Promise<readonly boolean[]>,
      putPack: (pack) => this.#api.receive('putPack', transfer(pack, [pack.buffer])) as Promise<void>,
      finish: (manifest) => this.#api.receive('finish', manifest) as Promise<SnapshotInfo>,
    };
  }

  /** Closes the store and ends the worker. May be called again. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#api.close();
    } finally {
      this.#worker.terminate();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run<T>(
    { signal, onProgress }: WorkOptions,
    call: (job: string, listener: ProgressListener | null) => Promise<T>,
  ): Promise<T> {
    const job = crypto.randomUUID();
    if (signal?.aborted) throw new VitrineError('aborted', {}, { cause: signal.reason });
    const abort = (): void => void this.#api.abort(job);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await call(job, onProgress === undefined ? null : proxy(onProgress));
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }
}

type RunJob = <T>(
  options: WorkOptions,
  call: (job: string, listener: ProgressListener | null) => Promise<T>,
) => Promise<T>;

/** One machine of an engine in a worker: the verbs of `Machine`. */
export class MachineClient {
  readonly name: string;
  /** Its recent past, to go back to and on from. */
  readonly rewind: RewindClient;
  readonly #api: Remote<EngineHost>;
  readonly #run: RunJob;

  constructor(name: string, api: Remote<EngineHost>, run: RunJob, store: StoreSpec) {
    this.name = name;
    this.#api = api;
    this.#run = run;
    const call = ((verb, ...parameters) => api.rewind(name, verb, parameters)) as CallRewind;
    this.rewind = new RewindClient(call, { store, name });
  }

  save(options: SaveOptions = {}): Promise<SaveReport> {
    const { signal: _, onProgress: __, ...rest } = options;
    return this.#run(options, (job, listener) => this.#api.save(this.name, rest, job, listener));
  }

  restore(snapshot: SnapshotId, options: WorkOptions = {}): Promise<RestoreReport> {
    return this.#run(options, (job, listener) => this.#api.restore(this.name, snapshot, job, listener));
  }

  checkpoint(): Promise<CheckpointReport> {
    return this.#api.checkpoint(this.name);
  }

  reset(): Promise<ResetReport> {
    return this.#api.resetLive(this.name);
  }

  dropCheckpoint(): Promise<void> {
    return this.#api.dropCheckpoint(this.name);
  }

  /** As `Machine.serveDoorbell`. */
  async serveDoorbell(options: ServeDoorbellOptions = {}): Promise<ServedDoorbell> {
    const { allow, onServed, ...rest } = options;
    await this.#api.serveDoorbell(
      this.name,
      rest,
      allow === undefined ? null : proxy(async (request: DoorbellRequest) => allow(request)),
      onServed === undefined ? null : proxy(onServed),
    );
    return {
      report: () => this.#api.reportDoorbell(this.name),
      stop: () => this.#api.stopDoorbell(this.name),
    };
  }

  peek(ranges: readonly PeekRange[], options: PeekOptions = {}): Promise<PeekedBytes> {
    return this.#api.peekLive(this.name, ranges, options);
  }

  diff(snapshot?: SnapshotId): Promise<DiffReport> {
    return this.#api.diffLive(this.name, snapshot ?? null);
  }

  base(): Promise<SnapshotId | null> {
    return this.#api.base(this.name);
  }

  /** Lets the machine go; its guest is the owner's to close. */
  release(): Promise<void> {
    return this.#api.release(this.name);
  }
}
