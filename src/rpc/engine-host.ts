// The engine's worker from inside: an engine over one store behind a flat API, one method a verb, machines by name.
// `EngineClient` is the other end.

import { transfer } from 'comlink';
import type { OwnedBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { loadPart } from '../base/part.ts';
import type { Progress } from '../base/work.ts';
import type { CollectReport } from '../engine/collect.ts';
import type { DiffReport } from '../engine/diff.ts';
import type { ServeDoorbellOptions, ServedDoorbell, ServedRing } from '../engine/doorbell.ts';
import type { Machine } from '../engine/machine.ts';
import type { PeekRange } from '../engine/peek.ts';
import type { RestoreReport } from '../engine/restore.ts';
import type { SaveOptions, SaveReport } from '../engine/save.ts';
import type { SnapshotId, SnapshotInfo } from '../engine/snapshot.ts';
import type { SnapshotReceiver, TransferReport } from '../engine/transfer.ts';
import type { VerifyReport } from '../engine/verify.ts';
import type { ReplayVerdict } from '../engine/verify-replay.ts';
import type { Vitrine } from '../engine/vitrine.ts';
import type { Effort } from '../format/frame-codecs.ts';
import type { DoorbellRequest } from '../guest/doorbell.ts';
import type { KernelBuild, Kernels } from '../kernel/kernels.ts';
import type { StoreTraits } from '../store/store.ts';
import { openScanTracker } from '../tracking/scan-tracker.ts';
import type {
  CheckpointReport,
  PeekedBytes,
  PeekOptions,
  ResetReport,
  Tracker,
} from '../tracking/tracker.ts';
import type { DoorbellReport } from '../tracking/tracker-doorbell.ts';
import type { GuestOffer } from './guest-port.ts';
import { connectGuest } from './port-guest.ts';
import type { RewindVerb } from './rewind-host.ts';
import { callRewind, connectTracker } from './tracker-port.ts';

/** Which store a worker opens. */
export type StoreSpec = { readonly kind: 'idb'; readonly name: string } | { readonly kind: 'memory' };

/** What the worker runs on, for people and for bug reports. */
export interface EngineInfo {
  readonly kernels: KernelBuild;
  readonly crossOriginIsolated: boolean;
  readonly store: StoreTraits;
}

/** An engine, and what else its worker is made of. */
export interface OpenedEngine {
  readonly engine: Vitrine;
  readonly info: EngineInfo;
  /** Kernels for the mirrors of guests that are tracked in this worker. */
  readonly openKernels: () => Promise<Kernels>;
}

/** How to open an engine; the composition root knows the implementations. */
export type OpenEngine = (store: StoreSpec) => Promise<OpenedEngine>;

/** The name of one long call, so that it can be given up: unique among those under way. */
export type JobId = string;
export type ProgressListener = (progress: Progress) => void;

/** A save's options as they cross: its signal is a job. */
export type RemoteSaveOptions = Omit<SaveOptions, 'signal' | 'onProgress'>;

/** How to serve a doorbell, as it crosses: its functions go beside. */
export type RemoteDoorbellOptions = Omit<ServeDoorbellOptions, 'allow' | 'onServed'>;

interface Adopted {
  readonly machine: Machine;
  readonly tracker: Tracker;
  readonly declareLost: (reason: VitrineError) => void;
}

export class EngineHost {
  readonly #open: OpenEngine;
  readonly #machines = new Map<string, Adopted>();
  readonly #jobs = new Map<JobId, AbortController>();
  readonly #doorbells = new Map<string, ServedDoorbell>();
  #opened: OpenedEngine | null = null;

  constructor(open: OpenEngine) {
    this.#open = open;
  }

  async open(store: StoreSpec): Promise<EngineInfo> {
    if (this.#opened !== null) throw new VitrineError('wrong-state', { actual: 'open', required: 'new' });
    this.#opened = await this.#open(store);
    return this.#opened.info;
  }

  /**
   * Takes the machine whose tracker is served at `port`, or with `track: 'engine'` the guest itself, which is then tracked in
   * this worker: its pages are compared here, while it rests or runs over there.
   */
  async adopt(
    name: string,
    port: MessagePort,
    offer: GuestOffer | null,
    track: 'engine' | 'guest',
  ): Promise<void> {
    if (this.#machines.has(name)) throw new VitrineError('busy', { machine: name, underWay: 'adopted' });
    let declareLost: (reason: VitrineError) => void = () => {};
    const lost = new Promise<VitrineError>((resolve) => {
      declareLost = resolve;
    });
    const { engine, openKernels } = this.#parts;
    const tracker =
      offer === null || track === 'guest'
        ? connectTracker(port, lost, offer?.shared)
        : await openScanTracker(connectGuest(port, offer, lost), { openKernels });
    if (this.#machines.has(name)) throw new VitrineError('busy', { machine: name, underWay: 'adopted' });
    this.#machines.set(name, { machine: engine.adopt(name, tracker), tracker, declareLost });
  }

  /** One call of a receiver of snapshots from elsewhere: the client's end is `EngineClient.receiver`. */
  async receive<Verb extends keyof SnapshotReceiver>(
    verb: Verb,
    given: Parameters<SnapshotReceiver[Verb]>[0],
  ): Promise<unknown> {
    const receiver = await this.#vitrine.receiver();
    // Safe: each verb takes what was given for it.
    return (receiver[verb] as (given: unknown) => Promise<unknown>)(given);
  }

  /** Forgets a machine whose worker is gone or going: its calls under way end with `worker-lost`. */
  release(name: string): void {
    const adopted = this.#machines.get(name);
    if (adopted === undefined) return;
    this.#machines.delete(name);
    this.#doorbells.delete(name);
    this.#vitrine.release(adopted.machine);
    adopted.declareLost(new VitrineError('worker-lost', { machine: name }));
  }

  save(
    name: string,
    options: RemoteSaveOptions,
    job: JobId,
    onProgress: ProgressListener | null,
  ): Promise<SaveReport> {
    return this.#run(job, (signal) =>
      this.#machine(name).save({ ...options, signal, ...listener(onProgress) }),
    );
  }

  restore(
    name: string,
    snapshot: SnapshotId,
    job: JobId,
    onProgress: ProgressListener | null,
  ): Promise<RestoreReport> {
    return this.#run(job, (signal) =>
      this.#machine(name).restore(snapshot, { signal, ...listener(onProgress) }),
    );
  }

  checkpoint(name: string): Promise<CheckpointReport> {
    return this.#machine(name).checkpoint();
  }

  resetLive(name: string): Promise<ResetReport> {
    return this.#machine(name).reset();
  }

  dropCheckpoint(name: string): Promise<void> {
    return this.#machine(name).dropCheckpoint();
  }

  /** One call of a machine's history, which lies beside its tracker. */
  rewind(name: string, verb: RewindVerb, parameters: readonly unknown[]): Promise<unknown> {
    return callRewind(this.#adopted(name).tracker, verb, parameters);
  }

  async serveDoorbell(
    name: string,
    options: RemoteDoorbellOptions,
    allow: ((request: DoorbellRequest) => Promise<boolean>) | null,
    onServed: ((ring: ServedRing) => void) | null,
  ): Promise<void> {
    const served = await this.#machine(name).serveDoorbell({
      ...options,
      ...(allow === null ? {} : { allow }),
      ...(onServed === null ? {} : { onServed: (ring) => void onServed(ring) }),
    });
    this.#doorbells.set(name, served);
  }

  async stopDoorbell(name: string): Promise<void> {
    await this.#doorbells.get(name)?.stop();
    this.#doorbells.delete(name);
  }

  async reportDoorbell(name: string): Promise<DoorbellReport> {
    const served = this.#doorbells.get(name);
    if (served === undefined)
      throw new VitrineError('wrong-state', { actual: 'not served', required: 'served' });
    return served.report();
  }

  async peekLive(name: string, ranges: readonly PeekRange[], options: PeekOptions): Promise<PeekedBytes> {
    const peeked = await this.#machine(name).peek(ranges, options);
    return transfer(peeked, buffersOf(peeked.bytes));
  }

  async peek(snapshot: SnapshotId, ranges: readonly PeekRange[]): Promise<OwnedBytes[]> {
    const bytes = await this.#vitrine.peek(snapshot, ranges);
    return transfer(bytes, buffersOf(bytes));
  }

  diffLive(name: string, snapshot: SnapshotId | null): Promise<DiffReport> {
    return this.#machine(name).diff(snapshot ?? undefined);
  }

  diff(a: SnapshotId, b: SnapshotId): Promise<DiffReport> {
    return this.#vitrine.diff(a, b);
  }

  base(name: string): SnapshotId | null {
    return this.#machine(name).base;
  }

  head(name: string): Promise<SnapshotId | null> {
    return this.#vitrine.head(name);
  }

  log(machine: string | null): Promise<SnapshotInfo[]> {
    return this.#vitrine.log(machine === null ? {} : { machine });
  }

  show(snapshot: SnapshotId): ReturnType<Vitrine['show']> {
    return this.#vitrine.show(snapshot);
  }

  delete(snapshots: readonly SnapshotId[]): Promise<void> {
    return this.#vitrine.delete(snapshots);
  }

  collect(job: JobId, onProgress: ProgressListener | null): Promise<CollectReport> {
    return this.#run(job, (signal) => this.#vitrine.collect({ signal, ...listener(onProgress) }));
  }

  /** As the engine's; calls of `receiver` go back to whoever called. */
  send(
    snapshot: SnapshotId,
    receiver: SnapshotReceiver,
    effort: Effort,
    job: JobId,
    onProgress: ProgressListener | null,
  ): Promise<TransferReport> {
    return this.#run(job, (signal) =>
      this.#vitrine.send(snapshot, receiver, { signal, effort, ...listener(onProgress) }),
    );
  }

  verify(snapshot: SnapshotId, job: JobId, onProgress: ProgressListener | null): Promise<VerifyReport> {
    return this.#run(job, (signal) => this.#vitrine.verify(snapshot, { signal, ...listener(onProgress) }));
  }

  /** As the engine's, in the guest that is served at `port` (`exposeReplayGuest`). */
  async verifyByReplay(
    snapshot: SnapshotId,
    port: MessagePort,
    steps: number | null,
    job: JobId,
  ): Promise<ReplayVerdict> {
    return this.#run(job, async (signal) => {
      // Its worker may have died: whoever waits for that gives the job up.
      const gone = new Promise<VitrineError>((resolve) => {
        signal.addEventListener('abort', () => resolve(new VitrineError('aborted')), { once: true });
      });
      try {
        const { connectReplayGuest } = await loadPart('replay', () => import('./replay-port.ts'));
        const guest = await connectReplayGuest(port, gone);
        return await this.#vitrine.verifyByReplay(snapshot, guest, {
          signal,
          ...(steps === null ? {} : { steps }),
        });
      } finally {
        port.close();
      }
    });
  }

  /** Gives a long call up; it ends with `aborted`. One that has ended is passed over. */
  abort(job: JobId): void {
    this.#jobs.get(job)?.abort();
  }

  async close(): Promise<void> {
    for (const job of this.#jobs.values()) job.abort();
    for (const name of [...this.#machines.keys()]) this.release(name);
    await this.#opened?.engine.close();
    this.#opened = null;
  }

  get #parts(): OpenedEngine {
    if (this.#opened === null) throw new VitrineError('wrong-state', { actual: 'closed', required: 'open' });
    return this.#opened;
  }

  get #vitrine(): Vitrine {
    return this.#parts.engine;
  }

  #machine(name: string): Machine {
    return this.#adopted(name).machine;
  }

  #adopted(name: string): Adopted {
    const adopted = this.#machines.get(name);
    if (adopted === undefined) throw new VitrineError('not-found', { machine: name });
    return adopted;
  }

  async #run<T>(job: JobId, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    this.#jobs.set(job, controller);
    try {
      return await work(controller.signal);
    } finally {
      this.#jobs.delete(job);
    }
  }
}

function listener(onProgress: ProgressListener | null): { onProgress?: ProgressListener } {
  if (onProgress === null) return {};
  // The page sees at most one report in 50 ms, and the last one.
  let lastMs = 0;
  return {
    onProgress: (progress) => {
      const nowMs = performance.now();
      if (nowMs - lastMs < 50 && progress.done < progress.total) return;
      lastMs = nowMs;
      onProgress(progress);
    },
  };
}

function buffersOf(list: readonly OwnedBytes[]): ArrayBuffer[] {
  return [...new Set(list.map((bytes) => bytes.buffer))];
}
