// The engine: a store of snapshots, and the machines that are saved into it and restored from it.
//
// It sees ports alone: a store, trackers, kernels, codecs. Everything that names a snapshot takes its id or the first
// characters of it.

import type { OwnedBytes } from '../base/bytes.ts';
import { fromHex, toHex } from '../base/bytes.ts';
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import { loadPart } from '../base/part.ts';
import type { WorkOptions } from '../base/work.ts';
import type { Codecs } from '../codec/codec.ts';
import type { Digest } from '../format/digest.ts';
import type { Manifest } from '../format/manifest.ts';
import type { DeviceRecord } from '../guest/guest.ts';
import type { Kernels } from '../kernel/kernels.ts';
import type { Store } from '../store/store.ts';
import type { Tracker } from '../tracking/tracker.ts';
import type { CollectReport } from './collect.ts';
import type { DiffReport } from './diff.ts';
import { Digester } from './digester.ts';
import type { EngineParts } from './engine-parts.ts';
import { finishRemoval, type Generation, isSameGeneration, readGeneration } from './generation.ts';
import { LocalLock, type Lock } from './lock.ts';
import { Machine } from './machine.ts';
import { Objects } from './objects.ts';
import type { PageEncoder } from './page-encoder.ts';
import { type PeekRange, peekSnapshot } from './peek.ts';
import { readDevices } from './restore.ts';
import type { Base } from './save.ts';
import {
  headRef,
  infoOf,
  loadManifest,
  MACHINE_NAME_PATTERN,
  SNAPSHOT_REF_PREFIX,
  type SnapshotId,
  type SnapshotInfo,
  snapshotRef,
} from './snapshot.ts';
import { TableReader } from './table-reader.ts';
import type { SendOptions, SnapshotReceiver, TransferReport } from './transfer.ts';
import type { VerifyReport } from './verify.ts';
import type { ReplayableGuest, ReplayVerdict, VerifyReplayOptions } from './verify-replay.ts';

/** What an engine stands on. */
export interface EngineOptions {
  readonly store: Store;
  readonly kernels: Kernels;
  readonly codecs: Codecs;
  readonly clock?: Clock;
  /** Needed where more than one engine uses the store at once. */
  readonly lock?: Lock;
  /** Threads for the pages of large saves and restores; without them, this one does all. */
  readonly encoder?: PageEncoder;
}

/** Opens an engine over a store. Throws what the store throws, and `format-*` when an index is damaged. */
export async function openEngine(options: EngineOptions): Promise<Vitrine> {
  const digester = new Digester(options.kernels);
  const lock = options.lock ?? new LocalLock();
  if ((await readGeneration(options.store)).removing.length > 0) {
    await lock.exclusive(() => finishRemoval(options.store));
  }
  const generation = await readGeneration(options.store);
  const objects = await Objects.open(options.store, options.codecs, digester, options.encoder);
  const parts: EngineParts = {
    store: options.store,
    codecs: options.codecs,
    clock: options.clock ?? SYSTEM_CLOCK,
    lock,
    digester,
    objects,
    tables: new TableReader(objects),
    encoder: options.encoder,
  };
  return new Vitrine(parts, generation);
}

export class Vitrine {
  readonly #parts: EngineParts;
  readonly #manifests = new Map<SnapshotId, Manifest>();
  readonly #machines = new Set<Machine>();
  #generation: Generation;

  constructor(parts: EngineParts, generation: Generation) {
    this.#parts = parts;
    this.#generation = generation;
  }

  /**
   * Takes a machine under the engine's care. Its history starts anew: the first save is a full one, in which
   * everything the store knows already costs nothing. `Machine.goOnFrom` tells what it goes on from, where that is known.
   *
   * Two machines of one name share its history: whichever was saved or restored last is its head.
   *
   * Throws `argument-invalid` for a name that is not `[a-z0-9][a-z0-9._-]*`, at most 64 characters.
   */
  adopt(name: string, tracker: Tracker): Machine {
    if (!MACHINE_NAME_PATTERN.test(name))
      throw new VitrineError('argument-invalid', {
        name: 'name',
        value: name,
        form: MACHINE_NAME_PATTERN.source,
      });
    const machine: Machine = new Machine(
      name,
      tracker,
      this.#parts,
      (id) => this.#find(id),
      (work) => this.#sharing(work),
      () => this.release(machine),
    );
    this.#machines.add(machine);
    return machine;
  }

  /**
   * A second machine that goes on from a snapshot, independent of the first: `tracker` is over a fresh guest of the
   * same shape. Throws what `Machine.restore` throws; the fresh guest is then as it was.
   */
  async fork(snapshot: SnapshotId, name: string, tracker: Tracker): Promise<Machine> {
    const machine = this.adopt(name, tracker);
    try {
      await machine.restore(snapshot);
      return machine;
    } catch (error) {
      this.release(machine);
      throw error;
    }
  }

  /** Lets a machine go without closing its guest. */
  release(machine: Machine): void {
    this.#machines.delete(machine);
  }

  /** All snapshots, or those of one machine, oldest first. Damaged ones are passed over; `verify` tells of them. */
  async log(options: { readonly machine?: string } = {}): Promise<SnapshotInfo[]> {
    const infos: SnapshotInfo[] = [];
    for (const id of await this.#ids()) {
      try {
        const info = infoOf(id, await this.#manifest(id));
        if (options.machine === undefined || info.machine === options.machine) infos.push(info);
      } catch (error) {
        if (!isVitrineError(error)) throw error;
      }
    }
    return infos.sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1));
  }

  /** One snapshot's manifest. Throws `not-found`, `name-ambiguous`, `object-damaged`. */
  async show(snapshot: SnapshotId): Promise<SnapshotInfo & { readonly manifest: Manifest }> {
    const { id, manifest } = await this.#find(snapshot);
    return { ...infoOf(id, manifest), manifest };
  }

  /** Where a machine was when it was last saved or restored; null when it never was or that is deleted. */
  async head(machine: string): Promise<SnapshotId | null> {
    const digest = await this.#parts.store.get(headRef(machine));
    if (digest === undefined) return null;
    const id = toHex(digest);
    return (await this.#parts.store.get(snapshotRef(id))) === undefined ? null : id;
  }

  /** Ranges of a stored snapshot. Throws `span-out-of-range`, `not-found`, `object-missing`, `object-damaged`. */
  async peek(snapshot: SnapshotId, ranges: readonly PeekRange[]): Promise<OwnedBytes[]> {
    return this.#parts.lock.shared(async () => peekSnapshot(this.#parts, await this.#find(snapshot), ranges));
  }

  /** The device records of a stored snapshot, proven. Throws as `peek`. */
  async devices(snapshot: SnapshotId): Promise<DeviceRecord[]> {
    return this.#parts.lock.shared(async () => readDevices(this.#parts, await this.#find(snapshot)));
  }

  /** What differs between two snapshots of one machine, by page. Throws `part-unavailable`, and as `peek`. */
  async diff(a: SnapshotId, b: SnapshotId): Promise<DiffReport> {
    const { diffSnapshots } = await loadPart('upkeep', () => import('./upkeep.ts'));
    return this.#parts.lock.shared(async () =>
      diffSnapshots(this.#parts, await this.#find(a), await this.#find(b)),
    );
  }

  /**
   * Reads every object of a snapshot and proves it. Reports what is damaged; throws `part-unavailable` and what
   * the store throws.
   */
  async verify(snapshot: SnapshotId, options: WorkOptions = {}): Promise<VerifyReport> {
    const { verifySnapshot } = await loadPart('upkeep', () => import('./upkeep.ts'));
    return this.#parts.lock.shared(async () =>
      verifySnapshot(this.#parts, await this.#find(snapshot), options),
    );
  }

  /**
   * Restores a snapshot twice into a spare guest that does the same again, runs on, and compares all that it holds.
   *
   * Throws `unsupported` for a guest without `replay`, `guest-mismatch`, `object-damaged`, and what the guest throws.
   */
  async verifyByReplay(
    snapshot: SnapshotId,
    guest: ReplayableGuest,
    options: VerifyReplayOptions = {},
  ): Promise<ReplayVerdict> {
    const { verifyByReplay } = await loadPart('upkeep', () => import('./upkeep.ts'));
    return this.#parts.lock.shared(async () =>
      verifyByReplay(this.#parts, await this.#find(snapshot), guest, options),
    );
  }

  /**
   * Sends a snapshot to another engine, or to one far away: of its objects what the other one lacks.
   *
   * Throws `not-found`, `name-ambiguous`, `part-unavailable`, `aborted`, what reading throws, and what the receiver throws.
   *
   * @example await here.send(id, await there.receiver());
   */
  async send(
    snapshot: SnapshotId,
    receiver: SnapshotReceiver,
    options: SendOptions = {},
  ): Promise<TransferReport> {
    const { pastOf, sendSnapshot } = await loadPart('transfer', () => import('./transfer.ts'));
    const target = await this.#find(snapshot);
    const past = await pastOf(target, (id) => this.#findIfThere(id));
    return sendSnapshot(this.#parts, target, past, receiver, options);
  }

  /** What another engine sends a snapshot to. Whatever comes is proven before it is kept. Throws `part-unavailable`. */
  async receiver(): Promise<SnapshotReceiver<SnapshotInfo>> {
    const { openReceiver } = await loadPart('transfer', () => import('./receive.ts'));
    return openReceiver(this.#parts, (work) => this.#sharing(work));
  }

  /** Runs `work` with a receiver: the form that engines far away have too. */
  async receive<Result>(
    _machine: string,
    work: (receiver: SnapshotReceiver) => Promise<Result>,
  ): Promise<Result> {
    return work(await this.receiver());
  }

  /**
   * Deletes snapshots. Others stay whole, whatever they shared. The room comes back with `collect`.
   *
   * Throws `not-found`, `name-ambiguous` before anything is deleted.
   */
  async delete(snapshots: readonly SnapshotId[]): Promise<void> {
    const ids = await this.#ids();
    const chosen = snapshots.map((snapshot) => resolve(snapshot, ids));
    for (const id of new Set(chosen)) {
      const ref = await this.#parts.store.get(snapshotRef(id));
      if (ref !== undefined) await this.#parts.store.compareAndSwap(snapshotRef(id), ref, null);
      this.#manifests.delete(id);
    }
  }

  /** Removes what no snapshot reaches. Waits for saves under way, and saves wait for it. Throws `part-unavailable`. */
  async collect(options: WorkOptions = {}): Promise<CollectReport> {
    const { collectGarbage } = await loadPart('upkeep', () => import('./upkeep.ts'));
    return this.#parts.lock.exclusive(async () => {
      const bases: Base[] = [];
      // A manifest that cannot be read might reach anything: nothing is removed then.
      for (const id of await this.#ids()) bases.push(await this.#find(id));
      await finishRemoval(this.#parts.store);
      const report = await collectGarbage(this.#parts, bases, options);
      this.#generation = await readGeneration(this.#parts.store);
      return report;
    });
  }

  /** Closes the machines' guests and the store. */
  async close(): Promise<void> {
    for (const machine of [...this.#machines]) await machine.close();
    await this.#parts.store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Runs `work` with the store shared and this engine up to date with what others collected. A removal that another
   * engine was cut off in is ended first, since a save may rely only on what can be read.
   */
  async #sharing<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      const outcome = await this.#parts.lock.shared(async () => {
        const now = await readGeneration(this.#parts.store);
        if (now.removing.length > 0) return undefined;
        if (!isSameGeneration(now, this.#generation)) await this.#parts.objects.refresh();
        this.#generation = now;
        return { result: await work() };
      });
      if (outcome !== undefined) return outcome.result;
      await this.#parts.lock.exclusive(() => finishRemoval(this.#parts.store));
    }
  }

  /** The ids of all snapshots, in no order; of those, too, that are damaged. */
  ids(): Promise<SnapshotId[]> {
    return this.#ids();
  }

  async #ids(): Promise<SnapshotId[]> {
    const refs = await this.#parts.store.list(SNAPSHOT_REF_PREFIX);
    return refs.map((ref) => ref.slice(SNAPSHOT_REF_PREFIX.length));
  }

  async #find(snapshot: SnapshotId): Promise<Base> {
    const id = (await this.#isWholeId(snapshot)) ? snapshot : resolve(snapshot, await this.#ids());
    return { id, digest: fromHex(id) as Digest, manifest: await this.#manifest(id) };
  }

  /** Whether it is the id of a snapshot, not the first characters of one: then nothing has to be listed. */
  async #isWholeId(snapshot: SnapshotId): Promise<boolean> {
    return (
      /^[0-9a-f]{64}$/.test(snapshot) && (await this.#parts.store.get(snapshotRef(snapshot))) !== undefined
    );
  }

  async #findIfThere(id: SnapshotId): Promise<Base | undefined> {
    try {
      return await this.#find(id);
    } catch (error) {
      if (isVitrineError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  async #manifest(id: SnapshotId): Promise<Manifest> {
    const known = this.#manifests.get(id);
    if (known !== undefined) return known;
    const manifest = await loadManifest(this.#parts.store, this.#parts.digester, id);
    this.#manifests.set(id, manifest);
    return manifest;
  }
}

/** The one id that starts with `prefix`. Throws `not-found`, `name-ambiguous`. */
function resolve(prefix: string, ids: readonly SnapshotId[]): SnapshotId {
  const found = ids.filter((id) => id.startsWith(prefix));
  if (found.length === 0 || prefix.length === 0) throw new VitrineError('not-found', { snapshot: prefix });
  if (found.length > 1)
    throw new VitrineError('name-ambiguous', { snapshot: prefix, candidates: found.slice(0, 8) });
  return found[0]!;
}
