// A machine of a host from outside: the verbs of a machine, as if it were here.

import type { OwnedBytes } from '../base/bytes.ts';
import type { WorkOptions } from '../base/work.ts';
import type { DiffReport } from '../engine/diff.ts';
import type { RestoreReport } from '../engine/restore.ts';
import type { SaveOptions, SaveReport } from '../engine/save.ts';
import type { SnapshotId } from '../engine/snapshot.ts';
import type { CheckpointReport, PeekOptions, ResetReport } from '../tracking/tracker.ts';
import type { BellInfo, BridgeClient, JobOptions } from './bridge-client.ts';
import type { ItemOf, RequestOf, ResponseOf } from './bridge-connection.ts';
import type { BridgeRange } from './fields.ts';
import type { ProcessorRegisters } from './host.ts';
import { type GatherOptions, gatherRanges } from './range-gatherer.ts';
import { RemoteConsole, type RemoteConsoleOptions } from './remote-console.ts';
import { RemoteScreen, type RemoteScreenOptions } from './remote-screen.ts';

export type MachineStatus = ResponseOf<'status'>;

/** A machine's recent past, as the host keeps it. */
export type RemotePast = ResponseOf<'rewindList'> & { readonly points: readonly ItemOf<'rewindList'>[] };

/** What a peek brought. */
export interface RemotePeek {
  /** One array a range. */
  readonly bytes: OwnedBytes[];
  readonly pauseMs: number;
  readonly consistency: 'instant' | 'torn';
  readonly source: ResponseOf<'peek'>['source'];
}

export class RemoteGuest {
  readonly name: string;
  readonly #client: BridgeClient;

  constructor(name: string, client: BridgeClient) {
    this.name = name;
    this.#client = client;
  }

  status(): Promise<MachineStatus> {
    return this.#connection.call('status', { machine: this.name });
  }

  async base(): Promise<SnapshotId | null> {
    return (await this.status()).base;
  }

  /** As `Machine.save`; a job, which survives a lost connection. */
  async save(options: SaveOptions & JobOptions = {}): Promise<SaveReport> {
    const { signal, onProgress, job, ...rest } = options;
    const { report } = await this.#client.runJob('save', { machine: this.name, ...rest }, workOf(options));
    return report;
  }

  /** As `Machine.restore`; a job. `fresh` and `lazy` where the host's machine can. */
  async restore(
    snapshot: SnapshotId,
    options: JobOptions & Pick<RequestOf<'restore'>, 'mode'> = {},
  ): Promise<RestoreReport> {
    const { mode } = options;
    const params = { machine: this.name, snapshot, ...(mode === undefined ? {} : { mode }) };
    return (await this.#client.runJob('restore', params, workOf(options))).report;
  }

  checkpoint(): Promise<CheckpointReport> {
    return this.#connection.call('checkpoint', { machine: this.name });
  }

  reset(): Promise<ResetReport> {
    return this.#connection.call('reset', { machine: this.name });
  }

  /**
   * Makes resets quick, for whoever is about to reset it often; it may go on in another process, and keeps its checkpoint. Throws
   * `unsupported` where it cannot, and what starting a process throws; it goes on as it was then.
   */
  quicken(): Promise<ResponseOf<'quicken'>> {
    return this.#connection.call('quicken', { machine: this.name });
  }

  async dropCheckpoint(): Promise<void> {
    await this.#connection.call('dropCheckpoint', { machine: this.name });
  }

  /** Ranges of its memory, all of one instant unless torn bytes are allowed; of any length. */
  async peek(
    ranges: readonly BridgeRange[],
    options: PeekOptions & GatherOptions & Pick<WorkOptions, 'signal'> = {},
  ): Promise<RemotePeek> {
    const { bytes, answer } = await gatherRanges(this.#connection, { machine: this.name }, ranges, options);
    const { pauseMs, consistency, source } = answer;
    return { bytes, pauseMs, consistency, source };
  }

  /** As `peek`, handed over as it comes: for what is too long to hold. */
  peekStream(
    ranges: readonly BridgeRange[],
    onBytes: (bytes: OwnedBytes) => void | Promise<void>,
    { signal, ...options }: PeekOptions & Pick<WorkOptions, 'signal'> = {},
  ): Promise<ResponseOf<'peek'>> {
    return this.#connection.call(
      'peek',
      { of: { machine: this.name }, ranges: [...ranges], ...options },
      { onBytes, ...(signal === undefined ? {} : { signal }) },
    );
  }

  async poke(at: RequestOf<'poke'>['at'], bytes: OwnedBytes): Promise<void> {
    await this.#connection.call('poke', { machine: this.name, at, bytes });
  }

  /** What its processors hold, of one instant. `unsupported` where the host cannot tell. */
  async registers(): Promise<ProcessorRegisters[]> {
    const { items } = await this.#connection.collect('registers', { machine: this.name });
    return items.map(({ processor, registers }) => ({
      processor,
      registers: registers.map(({ name, value }) => ({ name, value: BigInt(value) })),
    }));
  }

  diff(snapshot?: SnapshotId): Promise<DiffReport> {
    const { name: machine } = this;
    return this.#client.diffOf(snapshot === undefined ? { machine } : { machine, snapshot });
  }

  /** What its guest asked for by its doorbell lately, oldest first. */
  bells(): Promise<BellInfo[]> {
    return this.#client.bells({ machine: this.name });
  }

  /** As `BridgeClient.followBells`, of this machine. */
  followBells(
    onBell: (bell: BellInfo) => void | Promise<void>,
    options: Pick<WorkOptions, 'signal'> = {},
  ): Promise<void> {
    return this.#client.followBells(onBell, { machine: this.name, ...options });
  }

  /** Has the host keep its recent past: a point every so often, within a budget; again: with another pace or budget. */
  async rewindStart(options: Omit<RequestOf<'rewindStart'>, 'machine'>): Promise<void> {
    await this.#connection.call('rewindStart', { machine: this.name, ...options });
  }

  /** No more points; with `forget` those that there are go, but for bookmarks. */
  async rewindStop({ forget = false } = {}): Promise<void> {
    await this.#connection.call('rewindStop', { machine: this.name, forget });
  }

  /** Its recent past, oldest point first, and how it is kept. */
  async rewindList(): Promise<RemotePast> {
    const { response, items } = await this.#connection.collect('rewindList', { machine: this.name });
    return { ...response, points: items };
  }

  /** Names a point, which is never thinned out then; null takes the name back. */
  async rewindMark(snapshot: SnapshotId, label: string | null): Promise<void> {
    await this.#connection.call('rewindMark', { machine: this.name, snapshot, label });
  }

  /** Brings it to a point, and holds it there; a job. */
  async rewindSeek(snapshot: SnapshotId, options: JobOptions = {}): Promise<RestoreReport> {
    const params = { machine: this.name, snapshot };
    return (await this.#client.runJob('rewindSeek', params, workOf(options))).report;
  }

  /** It goes on from where `rewindSeek` holds it. */
  async rewindResume(): Promise<void> {
    await this.#connection.call('rewindResume', { machine: this.name });
  }

  async pause(): Promise<void> {
    await this.#connection.call('pause', { machine: this.name });
  }

  async resume(): Promise<void> {
    await this.#connection.call('resume', { machine: this.name });
  }

  async stop(): Promise<void> {
    await this.#connection.call('stop', { machine: this.name });
  }

  /** Its serial console, until closed or the connection is lost. */
  openConsole(options: RemoteConsoleOptions): RemoteConsole {
    return RemoteConsole.open(this.#connection, this.name, options);
  }

  /** Its picture, by its VNC server, until closed or the connection is lost. `unsupported` where it has none. */
  openScreen(options: RemoteScreenOptions): RemoteScreen {
    return RemoteScreen.open(this.#connection, this.name, options);
  }

  get #connection() {
    return this.#client.link.connection;
  }
}

function workOf({ signal, onProgress, job }: JobOptions): JobOptions {
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
    ...(job === undefined ? {} : { job }),
  };
}
