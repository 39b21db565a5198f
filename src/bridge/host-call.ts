// One request on the host: its permissions, its streams, its end. `Call` says what verbs see of it.

import type { OwnedBytes } from '../base/bytes.ts';
import { copyBytes } from '../base/bytes.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import type { Progress, WorkOptions } from '../base/work.ts';
import type { SnapshotId, SnapshotInfo } from '../engine/snapshot.ts';
import { BRIDGE_LIMITS } from './bridge-limits.ts';
import type { ByteBudget } from './byte-budget.ts';
import { encodeBody } from './control-body.ts';
import { CreditLedger, CreditPurse } from './credit.ts';
import { creditFrame, encodeFrame, encodeHeader, type Frame } from './frame.ts';
import type { Grant, Permission } from './grant.ts';
import type { BridgeHost, HostMachine } from './host.ts';
import type { Job, JobId } from './jobs.ts';
import { Mailbox } from './mailbox.ts';
import type { ScratchMemory } from './scratch-memory.ts';
import type { Borrowed, Call, Verb } from './verb.ts';

/** Progress of one request is told this often at most; a new phase and an end always are. */
const PROGRESS_EVERY_MS = 100;

/** What a call needs of its session. */
export interface CallParts {
  readonly host: BridgeHost;
  readonly grant: Grant;
  readonly nowMs: () => number;
  /** Sends a frame at once. */
  readonly send: (frame: OwnedBytes) => void;
  /** Resolves when the channel has room for more of a stream. */
  readonly room: () => Promise<void>;
  readonly memory: ByteBudget;
  readonly scratch: ScratchMemory;
}

export class HostCall implements Call {
  readonly request: number;
  readonly verb: Verb;
  readonly host: BridgeHost;
  readonly grant: Grant;
  /** Machine and other names of this call, for the audit log. */
  readonly notes: Record<string, unknown> = {};
  readonly #parts: CallParts;
  readonly #abort = new AbortController();
  readonly #purse = new CreditPurse();
  readonly #ledger = new CreditLedger();
  readonly #mailbox = new Mailbox<OwnedBytes>();
  #job: Job | null = null;
  #lastProgress: { readonly phase: string; readonly atMs: number } | null = null;

  constructor(parts: CallParts, verb: Verb, request: number) {
    this.#parts = parts;
    this.host = parts.host;
    this.grant = parts.grant;
    this.verb = verb;
    this.request = request;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** The client gives the request up, its job too. */
  cancel(): void {
    this.#job?.cancel();
    this.#end(new VitrineError('aborted', { verb: this.verb.name }));
  }

  /** The client is gone: what is no job ends. */
  disconnect(): void {
    this.#end(new VitrineError('connection-lost', { verb: this.verb.name }));
  }

  /** A credit or data frame of this request. Throws `format-*` when the client breaks the protocol. */
  take(frame: Frame, credit: number): void {
    if (frame.type === 'credit') {
      this.#purse.grant(credit);
      return;
    }
    if (this.verb.streams.up === 'none' || this.#mailbox.isClosed) {
      throw new VitrineError('format-range', { record: 'data', field: 'request', value: this.request });
    }
    this.#ledger.received(frame.body.length);
    if (frame.body.length > 0) this.#mailbox.put(copyBytes(frame.body));
    if (frame.end) this.#mailbox.close();
  }

  allows(machine: string | null, permission: Permission = this.verb.permission): boolean {
    return this.grant.allows({ permission, verb: this.verb.name, machine });
  }

  require(machine: string | null, permission: Permission = this.verb.permission): void {
    if (machine !== null) this.notes.machine = machine;
    if (this.allows(machine, permission)) return;
    throw new VitrineError('permission-denied', { permission, verb: this.verb.name, machine });
  }

  machine(name: string, permission?: Permission): HostMachine {
    this.require(name, permission);
    const machine = this.host.machine(name);
    if (machine === undefined) throw new VitrineError('not-found', { machine: name });
    return machine;
  }

  async snapshot(
    idOrPrefix: SnapshotId,
    permission: (machine: string) => Permission = () => this.verb.permission,
  ): Promise<SnapshotInfo> {
    this.notes.snapshot = idOrPrefix;
    const info = await this.#findSnapshot(idOrPrefix);
    this.notes.snapshot = info.id;
    const needed = permission(info.machine);
    if (!this.allows(info.machine, needed) && !this.allows(info.machine, 'observe')) {
      throw new VitrineError('not-found', { snapshot: idOrPrefix });
    }
    this.require(info.machine, needed);
    return info;
  }

  progress(progress: Progress): void {
    if (this.signal.aborted) return;
    const atMs = this.#parts.nowMs();
    const last = this.#lastProgress;
    const isDue =
      last === null ||
      last.phase !== progress.phase ||
      progress.done === progress.total ||
      atMs - last.atMs >= PROGRESS_EVERY_MS;
    if (!isDue) return;
    this.#lastProgress = { phase: progress.phase, atMs };
    this.#parts.send(encodeFrame({ type: 'progress', request: this.request, body: encodeBody(progress) }));
  }

  async sendBytes(bytes: OwnedBytes): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const taken = await this.#purse.take(1, Math.min(BRIDGE_LIMITS.dataFrameBytes, bytes.length - at));
      await this.#parts.room();
      this.#throwIfEnded();
      this.#sendData(bytes.subarray(at, at + taken));
      at += taken;
    }
  }

  async sendItems(items: readonly unknown[]): Promise<void> {
    const { maxItemsPerFrame } = BRIDGE_LIMITS;
    for (let first = 0; first < items.length; first += maxItemsPerFrame) {
      await this.#sendItemFrame(items.slice(first, first + maxItemsPerFrame));
    }
  }

  get input(): AsyncIterable<OwnedBytes> {
    return this.#read();
  }

  async job<Result>(
    { job: id, machine }: { readonly job?: JobId | undefined; readonly machine: string | null },
    work: (options: WorkOptions) => Promise<Result>,
  ): Promise<{ readonly job: JobId; readonly result: Result }> {
    const { subject } = this.grant;
    const job = this.host.jobs.start({ id, verb: this.verb.name, machine, subject }, work);
    this.#job = job;
    return this.follow<Result>(job);
  }

  /** Waits for a job, telling of its progress. */
  async follow<Result>(job: Job): Promise<{ readonly job: JobId; readonly result: Result }> {
    this.notes.job = job.id;
    if (job.progress !== null) this.progress(job.progress);
    const unwatch = job.watch((progress) => this.progress(progress));
    try {
      // Safe: the result of the work of that verb, for jobs of one id have one verb.
      return { job: job.id, result: (await Promise.race([job.result, this.#gone()])) as Result };
    } finally {
      unwatch();
    }
  }

  reserve(bytes: number): Promise<() => void> {
    return this.#parts.memory.take(bytes, this.signal);
  }

  async borrow(bytes: number): Promise<Borrowed> {
    const giveBack = await this.reserve(bytes);
    const { scratch } = this.#parts;
    const allocate = scratch.take(bytes);
    const release = (): void => {
      scratch.giveBack(allocate);
      giveBack();
    };
    return { allocate, release };
  }

  note(detail: Readonly<Record<string, unknown>>): void {
    Object.assign(this.notes, detail);
  }

  /** Of many that begin so, those of other people's machines do not count, nor are they told. */
  async #findSnapshot(idOrPrefix: SnapshotId): Promise<SnapshotInfo> {
    const { engine } = this.host;
    try {
      const { manifest: _, ...info } = await engine.show(idOrPrefix);
      return info;
    } catch (error) {
      if (!isVitrineError(error, 'name-ambiguous')) throw error;
    }
    const all = await engine.log();
    const seen = all.filter(
      ({ id, machine }) => id.startsWith(idOrPrefix) && this.allows(machine, 'observe'),
    );
    if (seen.length === 1) return seen[0]!;
    if (seen.length === 0) throw new VitrineError('not-found', { snapshot: idOrPrefix });
    const candidates = seen.slice(0, 8).map(({ id }) => id);
    throw new VitrineError('name-ambiguous', { snapshot: idOrPrefix, candidates });
  }

  /** Rejects when the client is gone; a cancelled job ends by itself. */
  #gone(): Promise<never> {
    return new Promise((_, reject) => {
      const leave = (): void => {
        if (this.#job === null || !isAborted(this.signal.reason)) reject(this.signal.reason);
      };
      if (this.signal.aborted) leave();
      else this.signal.addEventListener('abort', leave, { once: true });
    });
  }

  #end(reason: VitrineError): void {
    if (this.signal.aborted) return;
    this.#abort.abort(reason);
    this.#purse.break(reason);
    this.#mailbox.break(reason);
  }

  #throwIfEnded(): void {
    if (this.signal.aborted) throw this.signal.reason;
  }

  /** Halves what is too long for a frame; a single item that is, is a mistake of its verb. */
  async #sendItemFrame(items: readonly unknown[]): Promise<void> {
    const body = encodeBody(items);
    if (body.length > BRIDGE_LIMITS.dataFrameBytes) {
      if (items.length === 1) throw new VitrineError('internal', { itemBytes: body.length });
      const half = items.length >> 1;
      await this.#sendItemFrame(items.slice(0, half));
      await this.#sendItemFrame(items.slice(half));
      return;
    }
    await this.#purse.take(body.length, body.length);
    await this.#parts.room();
    this.#throwIfEnded();
    this.#sendData(body);
  }

  /** The body as it is, behind its header: nobody sends in between, for both are sent in one go. */
  #sendData(body: OwnedBytes): void {
    this.#parts.send(encodeHeader({ type: 'data', request: this.request }, body.length));
    this.#parts.send(body);
  }

  async *#read(): AsyncGenerator<OwnedBytes> {
    this.#grant(BRIDGE_LIMITS.windowBytes);
    for (;;) {
      const bytes = await this.#mailbox.take();
      if (bytes === undefined) return;
      yield bytes;
      this.#grant(this.#ledger.taken(bytes.length));
    }
  }

  #grant(bytes: number): void {
    if (bytes === 0 || this.#mailbox.isClosed || this.signal.aborted) return;
    this.#ledger.granted(bytes);
    this.#parts.send(creditFrame(this.request, bytes));
  }
}

function isAborted(reason: unknown): boolean {
  return reason instanceof VitrineError && reason.code === 'aborted';
}
